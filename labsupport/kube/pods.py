"""Which Pods there are of an application, and which of them serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labsupport.kube.objects import Object, list_objects
from labsupport.kube.wait import ready

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def is_ready(pod: Object) -> bool:
    """Whether a Pod runs and its Services lead to it: it is ready, and is not going.

    One that goes keeps the condition Ready for as long as its containers take to end, and is no endpoint any more
    (https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination).
    """
    return not pod["metadata"].get("deletionTimestamp") and ready([{"kind": "Pod", **pod}]).done


def standing_pods(api: ApiClient, namespace: str, labels: str) -> list[Object]:
    """The Pods that a selector chooses ("app=web") and that are not going, oldest first."""
    there = [
        pod
        for pod in list_objects(api, "v1", "Pod", namespace, labels=labels)
        if not pod["metadata"].get("deletionTimestamp")
    ]
    return sorted(there, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))


def ready_pods(api: ApiClient, namespace: str, labels: str) -> list[Object]:
    """Those of them that are ready, oldest first."""
    return [pod for pod in standing_pods(api, namespace, labels) if is_ready(pod)]
