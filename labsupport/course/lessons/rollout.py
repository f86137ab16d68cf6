"""Pods made anew, as `kubectl rollout restart` does it, and waited for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

RESTARTED = "kubectl.kubernetes.io/restartedAt"  # the annotation that `kubectl rollout restart` sets
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
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    change = {"metadata": {"annotations": {**(annotations or {}), RESTARTED: now}}}
    for name in deployments:
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
        kube.patch(api, path, {"spec": {"template": change}})
    targets = [kube.Target("apps/v1", "Deployment", name, namespace) for name in deployments]
    kube.until_ready(api, targets, timeout=TIMEOUT, progress=progress)
