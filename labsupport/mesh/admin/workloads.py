"""The Pods of the mesh's namespaces: who has a proxy, of which making, and whom to restart for that."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from labsupport import kube
from labsupport.kube.objects import resource
from labsupport.kube.wait import Target
from labsupport.mesh import names
from labsupport.mesh.inject.asked import BadPod, reason_to_leave

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
# States of a Pod. The first three are as wanted, the others go with a restart.
CURRENT, UNKNOWN, LEFT, OLDER, MISSING, LEFTOVER = (
    "current",
    "unknown",
    "left",
    "older",
    "missing",
    "leftover",
)
TO_RESTART = (OLDER, MISSING, LEFTOVER)
RESTARTED = "kubectl.kubernetes.io/restartedAt"  # what `kubectl rollout restart` sets
ROLLED = ("Deployment", "StatefulSet", "DaemonSet")


class Owner(NamedTuple):
    """Who makes a Pod anew; kind "Pod" where nobody does."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name} in {self.namespace}"


@dataclass(frozen=True)
class PodState:
    """One Pod of a namespace of the mesh, or one elsewhere that has a proxy."""

    namespace: str
    name: str
    capture: str  # redirect, env, or "" without a proxy
    ready: bool
    state: str
    note: str  # why it is in that state, as half a sentence; "" where there is nothing to say
    owner: Owner

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "capture": self.capture,
            "ready": self.ready,
            "state": self.state,
            "note": self.note,
            "owner": {"kind": self.owner.kind, "name": self.owner.name},
        }


def has_proxy(pod: Object) -> bool:
    """Whether a Pod has a proxy: was injected, or is a Gateway's."""
    return is_gateway(pod) or any(
        each["name"] == names.PROXY_CONTAINER for each in pod["spec"].get("initContainers") or ()
    )


def is_gateway(pod: Object) -> bool:
    """Whether a Pod is a Gateway's; the control plane makes those anew by itself."""
    return (pod["metadata"].get("labels") or {}).get(names.PROXY) == names.GATEWAY_PROXY


def state_of(pod: Object, *, in_mesh: bool, revision: str) -> tuple[str, str]:
    """A Pod's state and the note on it. `revision`: what a Pod created now would get, "" where nobody knows."""
    namespace = pod["metadata"]["namespace"]
    if is_gateway(pod):
        return CURRENT, f"of Gateway {(pod['metadata'].get('labels') or {}).get(names.GATEWAY_LABEL, '')}"
    if has_proxy(pod):
        if not in_mesh:
            return LEFTOVER, "has a proxy, and its namespace is not in the mesh (any more)"
        own = (pod["metadata"].get("annotations") or {}).get(names.REVISION, "")
        if not revision:
            return UNKNOWN, ""
        return (CURRENT, "") if own == revision else (OLDER, f"its proxy is of revision {own or 'none'}")
    try:
        reason = reason_to_leave(pod, namespace)
    except BadPod as error:
        reason = str(error)
    return (LEFT, reason) if reason else (MISSING, "it was made while nothing was injected in its namespace")


def survey(
    pods: Iterable[Object], mesh: Iterable[str], replica_sets: Iterable[Object], revision: str
) -> list[PodState]:
    """The state of each Pod in the namespaces `mesh`, and of each elsewhere that has a proxy; ended ones are left out.

    Pure. `replica_sets` are there to find the Deployments behind Pods.
    """
    inside = set(mesh)
    deployments = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): owner["name"]
        for each in replica_sets
        for owner in each["metadata"].get("ownerReferences") or ()
        if owner["kind"] == "Deployment"
    }
    found = []
    for pod in pods:
        namespace, status = pod["metadata"]["namespace"], pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed") or pod["metadata"].get("deletionTimestamp"):
            continue
        if namespace not in inside and not has_proxy(pod):
            continue
        state, note = state_of(pod, in_mesh=namespace in inside, revision=revision)
        capture = (pod["metadata"].get("labels") or {}).get(names.PROXY, "") if has_proxy(pod) else ""
        conditions = status.get("conditions") or ()
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        owner = _owner(pod, deployments)
        found.append(PodState(namespace, pod["metadata"]["name"], capture, ready, state, note, owner))
    return sorted(found, key=lambda each: (each.namespace, each.name))


def _owner(pod: Object, deployments: dict[tuple[str, str], str]) -> Owner:
    namespace = pod["metadata"]["namespace"]
    for reference in pod["metadata"].get("ownerReferences") or ():
        if not reference.get("controller"):
            continue
        deployment = deployments.get((namespace, reference["name"]))
        if reference["kind"] == "ReplicaSet" and deployment:
            return Owner("Deployment", namespace, deployment)
        return Owner(reference["kind"], namespace, reference["name"])
    return Owner("Pod", namespace, pod["metadata"]["name"])


def look(api: ApiClient, mesh: Iterable[str], revision: str) -> list[PodState]:
    """`survey` of a cluster. Errors: Refused, Unreachable."""
    pods = kube.list_objects(api, "v1", "Pod")
    return survey(pods, mesh, kube.list_objects(api, "apps/v1", "ReplicaSet"), revision)


def owners_to_restart(pods: Iterable[PodState]) -> tuple[list[Owner], list[Owner]]:
    """Owners of Pods that a restart brings up to date: those that roll their Pods themselves, and all others."""
    owners = sorted({each.owner for each in pods if each.state in TO_RESTART})
    return [each for each in owners if each.kind in ROLLED], [
        each for each in owners if each.kind not in ROLLED
    ]


def restart(
    api: ApiClient, owner: Owner, *, timeout: float, progress: Callable[[str], None] | None = None
) -> None:
    """Have a workload make its Pods anew in its own way, and wait until they are ready (`timeout` in seconds).

    Errors: LabsError with the reason where they do not become ready.
    """
    path = resource(api, "apps/v1", owner.kind).path(owner.namespace, owner.name)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    kube.patch(api, path, {"spec": {"template": {"metadata": {"annotations": {RESTARTED: now}}}}})
    target = Target("apps/v1", owner.kind, owner.name, owner.namespace)
    kube.until_ready(api, [target], timeout=timeout, progress=progress)
