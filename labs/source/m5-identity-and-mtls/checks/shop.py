"""What the checks of several exercises ask: who complained, who is served, and what plaintext gets from a service."""

from __future__ import annotations

import time
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons import traffic
from labsupport.errors import LabsError
from labsupport.mesh import names

Object = dict[str, Any]
SETTLES = 3.0  # seconds for a proxy to obey, on kept connections too
PAUSE = 0.2
CALLERS = ("customers", "till")


def complaints(probe: Probe) -> dict[str, str]:
    """By who complains: when, and of what."""
    return dict((probe.get("v1", "ConfigMap", "complaints") or {}).get("data") or {})


def pods(probe: Probe, app: str) -> list[Object]:
    """The Pods of `app` that are not going."""
    found = probe.list("v1", "Pod", labels=f"app={app}")
    return [
        each
        for each in found
        if not each["metadata"].get("deletionTimestamp")
        and (each.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
    ]


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def has_proxy(pod: Object) -> bool:
    return any(each["name"] == names.PROXY_CONTAINER for each in pod["spec"].get("initContainers") or ())


def served(probe: Probe, app: str) -> bool:
    """Whether a Pod of `app` is ready: it is once a first request of its was answered."""
    return any(is_ready(each) for each in pods(probe, app))


def plaintext(probe: Probe, service: str, path: str, port: int = 80) -> str:
    """What a caller outside of the mesh gets, in words; "" if its connection is not taken.

    The API server calls the Pod itself then, in the clear.
    """
    where = f"/api/v1/namespaces/{probe.namespace}/services/{service}:{port}/proxy{path}"
    try:
        kube.request(probe.api, "GET", where, timeout=probe.left(8.0))
    except kube.Refused as error:
        # The API server's own words for a connection that came to nothing; an application's refusal has others.
        return (
            "" if "trying to reach service" in error.what or error.status in (502, 503, 504) else error.what
        )
    except (ValueError, TypeError):
        return "an answer"
    return "an answer"


def still_plaintext(probe: Probe, service: str, path: str, port: int = 80) -> str:
    """As `plaintext`, once a change just made has reached the proxies and closed the connections from before it."""
    began = time.monotonic()
    while (got := plaintext(probe, service, path, port)) and time.monotonic() - began < SETTLES:
        time.sleep(PAUSE)  # what proxies have in force cannot be watched from here
    return got


def load(probe: Probe, url: str, **plan: Any) -> traffic.Load:
    """Requests of the load generator. Errors: Rejected if it does not take its order."""
    try:
        return traffic.run(probe.api, probe.namespace, url, **plan)
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m5/no-load-generator",
                error.what,
                f"Service load in {probe.namespace}",
                "The load generator is part of the lab: `labs kubectl get pods` says how its Pod is.",
            )
        ) from error
