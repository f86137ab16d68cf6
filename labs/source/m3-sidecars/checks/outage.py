"""m3-outage: the webhook's Pod is taken away; what may be created meanwhile, and whether it comes back."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import sidecars
from labsupport.patience import patient

from .inject import WEBHOOK

GONE = patient(6.0)  # seconds for its Pod to end
BACK = patient(10.0)  # seconds for a new one; it takes about 2
REFUSED = patient(
    2.0
)  # seconds, and some more attempts, after which one that was refused is not expected any more
POLICIES = ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration")
Pod = dict[str, Any]


def outage(probe: Probe) -> Outcome:
    """m3-outage: without the webhook no Pod of the lab is stored, others are, and it comes back by itself."""
    if probe.get("apps/v1", "Deployment", WEBHOOK) is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                f"No webhook {WEBHOOK} is deployed in your namespace.",
                f"Deployment {WEBHOOK} in {probe.namespace}",
                'Run the cell of `m3-inject` again, or `lab.start("m3", at="m3-outage")`.',
            )
        )
    with probe.scratch() as elsewhere:
        probe.progress("taking the webhook's Pod away")
        try:
            _scale(probe, 0)
            _await_no_pod(probe)
            _while_away(probe, elsewhere)
        finally:
            _scale(probe, 1)
        seconds = _back(probe)
    answer = _new_pod(probe, probe.namespace)
    if answer.status >= 400 or not sidecars.has_proxy(answer.body):
        message = answer.body.get("message") if answer.status >= 400 else "it would have no proxy"
        raise Rejected(
            not_yet(
                "m3-outage/not-injected",
                f"The webhook is back, and of a new Pod in your namespace the API server says: {message}.",
                f"a dry run of a Pod in {probe.namespace}",
                "Which Pods does the configuration show to the webhook, and are these those that want a proxy?",
            )
        )
    return passed(
        "While the webhook was away, Pods of your namespace were refused and those of another namespace were not. Its "
        f"own Pod was ready again after {seconds:.1f} s, and new Pods get their proxy.",
        "dry runs of Pods in two namespaces, with the webhook away and back",
    )


def _scale(probe: Probe, replicas: int) -> None:
    path = f"/apis/apps/v1/namespaces/{probe.namespace}/deployments/{WEBHOOK}"
    kube.patch(probe.api, path, {"spec": {"replicas": replicas}})


def _await_no_pod(probe: Probe) -> None:
    target = kube.Target("v1", "Pod", namespace=probe.namespace, labels=f"labs.example/deployed={WEBHOOK}")
    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(probe.api, target, kube.wait.gone, timeout=probe.left(GONE))
    slices = kube.Target(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace=probe.namespace,
        labels=f"kubernetes.io/service-name={WEBHOOK}",
    )

    def nobody(found: list[Pod]) -> kube.Seen:
        there = [each for part in found for each in part.get("endpoints") or []]
        return kube.Seen(not there, f"{len(there)} endpoints are left")

    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(probe.api, slices, nobody, timeout=probe.left(GONE))


def _new_pod(probe: Probe, namespace: str) -> kube.Answer:
    return sidecars.dry_pod(probe.world, namespace)


def _while_away(probe: Probe, elsewhere: str) -> None:
    """Errors: Rejected where a Pod that needs the webhook is stored, or one that does not is refused."""
    other = _new_pod(probe, elsewhere)
    if other.status >= 400:
        raise Rejected(
            not_yet(
                "m3-outage/too-wide",
                f"With the webhook away, a Pod in another namespace is refused: {other.body.get('message', '')[:200]}",
                f"a dry run of a Pod in {elsewhere}",
                "Whose Pods does the configuration select? An outage of yours must not be one of everybody.",
            )
        )
    own = _new_pod(probe, probe.namespace)
    if own.status < 400:
        raise Rejected(
            not_yet(
                "m3-outage/unprotected",
                "With the webhook away, a new Pod in your namespace is stored, and it has no proxy.",
                f"a dry run of a Pod in {probe.namespace}",
                "It would answer anybody in plaintext and be refused by every strict peer, long after the webhook is "
                "back. What is to happen to a Pod about which nobody can be asked?",
            )
        )


def _back(probe: Probe) -> float:
    """Seconds until the webhook serves again. Errors: Rejected if it does not."""
    began = time.monotonic()
    sets = kube.Target(
        "apps/v1", "ReplicaSet", namespace=probe.namespace, labels=f"labs.example/deployed={WEBHOOK}"
    )
    try:
        kube.until(probe.api, sets, _ready_or_refused, timeout=probe.left(BACK), progress=probe.progress)
        kube.until(probe.api, sets, _ready, timeout=probe.left(REFUSED))
    except kube.wait.TimedOut as late:
        raise Rejected(
            not_yet(
                "m3-outage/deadlock",
                f"The webhook's Pod was taken away, and {time.monotonic() - began:.0f} s later there is no new one. "
                f"{_why(late.objects)}",
                f"the ReplicaSet of {WEBHOOK}, status.conditions",
                "Who has to be asked before that Pod can be created, and who would have to answer?",
            )
        ) from None
    slices = kube.Target(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace=probe.namespace,
        labels=f"kubernetes.io/service-name={WEBHOOK}",
    )

    def somebody(found: list[Pod]) -> kube.Seen:
        ready = [
            each
            for part in found
            for each in part.get("endpoints") or []
            if (each.get("conditions") or {}).get("ready")
        ]
        return kube.Seen(bool(ready), "its Service leads to nobody yet")

    kube.until(probe.api, slices, somebody, timeout=probe.left(BACK))
    return time.monotonic() - began


def _ready(sets: list[Pod]) -> kube.Seen:
    """Met when the webhook has its Pod, and that is ready."""
    there = any((each.get("status") or {}).get("readyReplicas") for each in sets)
    return kube.Seen(there, "the webhook has no Pod that is ready")


def _ready_or_refused(sets: list[Pod]) -> kube.Seen:
    return kube.Seen(_ready(sets).done or bool(_refusals(sets)), "the webhook has no Pod that is ready")


def _refusals(sets: list[Pod]) -> list[str]:
    """What the API server said to those ReplicaSets that could not make the Pods that they are to have now."""
    said = []
    for each in sets:
        status = each.get("status") or {}
        if (
            each["spec"].get("replicas")
            and status.get("observedGeneration") == each["metadata"]["generation"]
        ):
            conditions = status.get("conditions") or []
            said += [
                entry.get("message", "")
                for entry in conditions
                if entry["type"] == "ReplicaFailure" and entry["status"] == "True"
            ]
    return said


def _why(sets: list[Pod]) -> str:
    said = _refusals(sets)
    return f"Its ReplicaSet says: {said[0][:300]}" if said else ""
