"""Pods made anew, as `kubectl rollout restart` does it, and waited for.

kubectl notes the time in the Pods' annotation; here it is a number, so that the same steps lead to the same state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

RESTARTED = "labs.example/restarted"  # annotation of a Pod: how often its Deployment was restarted here
TIMEOUT = patient(60.0)  # seconds until all are ready
REFUSED = 3.0  # seconds that a webhook refuses Pods until nobody waits for them any more


def restart(
    api: ApiClient,
    namespace: str,
    deployments: tuple[str, ...],
    annotations: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> None:
    """Have Deployments make their Pods anew, each in its own way, and wait until all are ready.

    `annotations` are given to the Pods. Errors: LabsError with the reason where they do not become ready; Refused.
    """
    for name in deployments:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        template = kube.request(api, "GET", path)["spec"]["template"]
        before = (template["metadata"].get("annotations") or {}).get(RESTARTED, "0")
        made = {**(annotations or {}), RESTARTED: str(int(before) + 1)}
        kube.patch(api, path, {"spec": {"template": {"metadata": {"annotations": made}}}})
    deadline = time.monotonic() + TIMEOUT
    for name in deployments:
        target = kube.Target("apps/v1", "Deployment", name, namespace)
        left = max(1.0, round(deadline - time.monotonic(), 1))
        say = _named(progress, target) if progress else None
        kube.until(api, target, _ready_unless_refused(), timeout=left, progress=say)


def _named(progress: Callable[[str], None], target: kube.Target) -> Callable[[str], None]:
    return lambda text: progress(f"{target}: {text}")


def _ready_unless_refused() -> Callable[[list[kube.objects.Object]], kube.Seen]:
    """A condition as `kube.ready`, that gives up where a webhook has refused the new Pods for a while.

    For a while: the Deployment tells of the Pods of an earlier version too, until the new one has some.
    """
    since = 0.0

    def condition(objects: list[kube.objects.Object]) -> kube.Seen:
        nonlocal since
        seen, why = kube.ready(objects), _refusal(objects)
        if not why:
            since = 0.0
        elif not since:
            since = time.monotonic()
        elif not seen.done and time.monotonic() - since >= REFUSED:
            return kube.Seen(False, why, failed=True)
        return seen

    return condition


def _refusal(objects: list[kube.objects.Object]) -> str:
    """What a webhook says of the Pods that a Deployment cannot make; "" where none refuses any."""
    return next(
        (
            str(entry.get("message"))
            for each in objects
            for entry in (each.get("status") or {}).get("conditions") or ()
            if entry["type"] == "ReplicaFailure" and "denied the request" in str(entry.get("message"))
        ),
        "",
    )
