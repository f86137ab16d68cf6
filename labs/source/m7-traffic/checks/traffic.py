"""What the checks of several exercises ask: requests of the load generator, faults of single Pods, what is in force."""

from __future__ import annotations

import contextlib
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons import faults, traffic
from labsupport.errors import LabsError
from labsupport.kube.wait import TimedOut

GATEWAY_API, MESH_API = "gateway.networking.k8s.io/v1", "mesh.labs.example/v1alpha1"
SETTLES = 2.0  # seconds for what was just applied to be in force


def load(probe: Probe, url: str, **plan: Any) -> traffic.Load:
    """Requests of the load generator. Errors: Rejected if it does not take its order."""
    try:
        return traffic.run(probe.api, probe.namespace, url, **plan)
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m7/no-load-generator",
                error.what,
                f"Service load in {probe.namespace}",
                "The load generator is part of the lab: `labs kubectl get pods` says how its Pod is.",
            )
        ) from error


def pods(probe: Probe, labels: str) -> list[str]:
    """The names of the Pods that are ready."""
    return faults.ready_pods(probe.api, probe.namespace, labels)


def set_faults(probe: Probe, pod: str, container: str, **wanted: Any) -> None:
    """Make an application of the shop answer wrongly, or well again."""
    faults.change(probe.api, probe.namespace, pod, container, **wanted)


def requests_of(probe: Probe, pod: str, container: str) -> int:
    """How many requests an application of the shop has been through with."""
    return faults.requests(probe.api, probe.namespace, pod, container)


def concerns(found: kube.objects.Object, service: str) -> bool:
    """Whether an HTTPRoute or a TrafficPolicy is one of this Service."""
    references = found["spec"].get("parentRefs") or found["spec"].get("targetRefs") or []
    return any(each.get("kind") == "Service" and each["name"] == service for each in references)


def in_force(probe: Probe, exercise: str, service: str) -> None:
    """Wait a moment for a Service's routes and policies to be at the proxies. What follows decides if they are not.

    Errors: Rejected (`EXERCISE/not-taken`) if the mesh does not take one of them.
    """
    for api_version, kind in ((GATEWAY_API, "HTTPRoute"), (MESH_API, "TrafficPolicy")):
        target = kube.Target(api_version, kind, namespace=probe.namespace)
        with contextlib.suppress(TimedOut):
            kube.until(probe.api, target, lambda found: _standing(found, service), timeout=SETTLES)
        for each in probe.list(api_version, kind):
            if concerns(each, service) and (refused := refusal(each)):
                raise Rejected(
                    not_yet(
                        f"{exercise}/not-taken",
                        f"{kind} {each['metadata']['name']}: {refused}",
                        "its status",
                        "The status says what the mesh could not do with it.",
                    )
                )


def refusal(found: kube.objects.Object) -> str:
    """What a route's or a policy's status objects to, or ""."""
    return next(
        (f"{each['type']} is False: {each['message']}" for each in _told(found) if each["status"] == "False"),
        "",
    )


def _standing(found: list[kube.objects.Object], service: str) -> kube.Seen:
    waiting = [each for each in found if concerns(each, service) and not (refusal(each) or _programmed(each))]
    return kube.Seen(not waiting, f"{len(waiting)} not at the proxies yet")


def _programmed(found: kube.objects.Object) -> bool:
    told = {each["type"]: each["status"] for each in _told(found)}
    return told.get("Programmed") == "True"


def _told(found: kube.objects.Object) -> list[kube.objects.Object]:
    """The conditions of the object as it is now."""
    status = found.get("status") or {}
    parents = [one for parent in status.get("parents") or [] for one in parent.get("conditions") or []]
    now = found["metadata"].get("generation", 0)
    told = [*parents, *(status.get("conditions") or [])]
    return [each for each in told if each.get("observedGeneration", 0) >= now]
