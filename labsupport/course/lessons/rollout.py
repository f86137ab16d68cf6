"""Pods made anew, as `kubectl rollout restart` does it, and waited for.

kubectl notes the time in the Pods' annotation; here it is a number, so that the same steps lead to the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

RESTARTED = "labs.example/restarted"  # annotation of a Pod: how often its Deployment was restarted here
TIMEOUT = patient(60.0)  # seconds until all are ready


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
    targets = [kube.Target("apps/v1", "Deployment", name, namespace) for name in deployments]
    kube.until_ready(api, targets, timeout=TIMEOUT, progress=progress)
