"""A node's condition of ours: whether limits of memory and CPU are enforced on it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import delegation, readiness
from labsupport.cluster.embedded.addresses import Addresses

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LIMITS = "ContainerLimitsEnforced"


def limits(enforced: Sequence[str], why_not: str, now: datetime.datetime) -> dict[str, Any]:
    """The condition (core/v1 NodeCondition) for the controllers that containers are under; for none, the reason."""
    names = [name for name in enforced if name in ("cpu", "memory")]
    met = "memory" in names
    said = now.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    missing = "" if "cpu" in names else "; those of cpu are not, this machine does not give the controller"
    return {
        "type": LIMITS,
        "status": str(met),
        "reason": "ControlGroupsDelegated" if met else "NoControlGroups",
        "message": f"limits of {' and '.join(sorted(names, reverse=True))} are enforced{missing}"
        if met
        else f"limits of memory and cpu are not enforced: {why_not}",
        "lastHeartbeatTime": said,
        "lastTransitionTime": said,
    }


def tell(api: ApiClient, directory: ClusterDirectory, node: Addresses) -> None:
    """Write a node's condition about limits into its status; the kubelet leaves those alone that it does not know."""
    enforced = readiness.read_status(directory, node).get("limits", [])
    why_not = (
        delegation.find(directory.name).why_not or "the control group could not be divided (launcher.log)"
    )
    condition = limits(enforced, why_not, datetime.datetime.now(datetime.UTC))
    kube.request(
        api,
        "PATCH",
        f"/api/v1/nodes/{node.name}/status",
        body={"status": {"conditions": [condition]}},
        content_type="application/strategic-merge-patch+json",
    )
