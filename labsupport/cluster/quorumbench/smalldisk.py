"""Members whose disks are small and become full: tmpfs volumes, which give the same error (ENOSPC) as any full disk.

On each node a Pod has an emptyDir in memory with a limit, which the kubelet mounts as a tmpfs of that size; a
PersistentVolume leads to it. So no root and no device is needed, the member's volume is a real mount that is full, and
the Pod fills it up and makes room again. A node that stops would lose it: only these faults use such volumes.
"""

from __future__ import annotations

from typing import Any

from labsupport import kube
from labsupport.cluster.quorum import API_VERSION as API
from labsupport.cluster.quorumbench.place import SETTLED, SPACE, USUAL, Place
from labsupport.kube.execute import execute
from labsupport.kube.wait import condition_is

CLASS, SIZE = "small-disk", "24Mi"
NODES = 3
SPEC: dict[str, Any] = USUAL | {"storage": {"size": SIZE, "storageClassName": CLASS}}

FILL = """
import errno
with open("/disk/ballast", "wb", buffering=0) as file:
    size = 1 << 20
    while size:
        try:
            file.write(bytes(size))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            size //= 2
"""


def prepare(here: Place) -> None:
    """A small disk on each node, as volumes that a Quorum of three finds."""
    pods = [_pod(number) for number in range(1, NODES + 1)]
    kube.apply(here.api, pods)
    volumes = []
    for pod in pods:
        name = pod["metadata"]["name"]
        (made,) = kube.until(
            here.api, kube.Target("v1", "Pod", name, SPACE), condition_is("Ready"), timeout=SETTLED
        )
        volumes.append(_volume(name, made["spec"]["nodeName"], made["metadata"]["uid"]))
    kube.apply(here.api, volumes)


def discard(here: Place) -> None:
    """Remove them."""
    names = [f"disk-{number}" for number in range(1, NODES + 1)]
    volumes = [{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": each}} for each in names]
    kube.delete(here.api, [*(_pod(number) for number in range(1, NODES + 1)), *volumes])


def fill(here: Place, member: str) -> None:
    """Fill a member's disk up, and wait until the Quorum says so: the member has met it."""
    _do(here, member, FILL)

    def full(objects: list[dict[str, Any]]) -> kube.Seen:
        said = (objects[0].get("status") or {}).get("conditions", ()) if objects else ()
        degraded: dict[str, Any] = next((each for each in said if each["type"] == "Degraded"), {})
        met = degraded.get("reason") == "DiskFull" and member in degraded.get("message", "")
        return kube.Seen(met, f"{degraded.get('reason')}: {degraded.get('message')}")

    kube.until(here.api, kube.Target(API, "Quorum", here.name, SPACE), full, timeout=SETTLED)


def make_room(here: Place, member: str) -> None:
    """Give its room back."""
    _do(here, member, 'import os; os.unlink("/disk/ballast")')


def _do(here: Place, member: str, program: str) -> None:
    claim = kube.get(here.api, "v1", "PersistentVolumeClaim", f"data-{member}", SPACE) or {}
    execute(here.api, SPACE, claim["spec"]["volumeName"], ["python3", "-c", program])


def _pod(number: int) -> dict[str, Any]:
    volume = {"name": "disk", "emptyDir": {"medium": "Memory", "sizeLimit": SIZE}}
    container = {
        "name": "disk",
        "image": "labs.example/python:3.11",
        "command": ["sleep", "infinity"],
        "volumeMounts": [{"name": "disk", "mountPath": "/disk"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"disk-{number}", "namespace": SPACE},
        "spec": {
            "nodeName": f"node-{number}",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [volume],
        },
    }


def _volume(name: str, node: str, uid: str) -> dict[str, Any]:
    """Leads to where the kubelet keeps the Pod's volume."""
    term = {
        "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}],
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": CLASS,
            "hostPath": {"path": f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/disk"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        },
    }
