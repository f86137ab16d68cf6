"""The Quorum operator on a cluster of the course: what it is installed from, and that it is there; when a Quorum is as
it is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from labsupport import kube, paths
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANIFESTS = paths.CLUSTERS / "manifests" / "quorum"
GROUP = "quorum.labs.example"
API_VERSION = f"{GROUP}/v1"
SYSTEM = "labs-system"
DEPLOYMENTS = ("quorum-operator", "quorum-conversion")
TIMEOUT = patient(90.0)  # seconds until the operator and its webhook work; it takes about 4


def documents(replicas: int = 2) -> list[dict[str, Any]]:
    """The operator's manifests, with so many replicas of the operator and of its webhook."""
    found = [each for file in sorted(MANIFESTS.glob("*.yaml")) for each in kube.load(file)]
    for each in found:
        if each["kind"] == "Deployment":
            each["spec"]["replicas"] = replicas
    return found


def install(
    api: ApiClient, replicas: int = 2, progress: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """Bring the operator onto the cluster, or back to how it should be there; returns what was applied.

    May be called again. Errors: LabsError with what was refused or does not become ready.
    """
    wanted = documents(replicas)
    kube.apply(api, wanted)
    targets = [kube.Target("apps/v1", "Deployment", name, SYSTEM) for name in DEPLOYMENTS]
    kube.until_ready(api, targets, timeout=TIMEOUT, progress=progress)
    return wanted


def conditions(quorum: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is said of a Quorum, by the type of the condition."""
    return {each["type"]: each for each in (quorum.get("status") or {}).get("conditions") or ()}


def settled(objects: Iterable[dict[str, Any]]) -> kube.Seen:
    """Whether a Quorum is as wanted: all members vote and are ready, one release, one key, nothing under way."""
    found = next(iter(objects), None)
    if found is None:
        return kube.Seen(False, "there is no Quorum", failed=True)
    spec, status, said = found["spec"], found.get("status") or {}, conditions(found)
    done = (
        status.get("observedGeneration") == found["metadata"]["generation"]
        and status.get("voters") == status.get("ready") == spec["size"]
        and status.get("release") == spec["release"]
        and all(said.get(kind, {}).get("status") == "True" for kind in ("Available", "KeyReady"))
        and said.get("Progressing", {}).get("status") == "False"
    )
    words = "; ".join(
        f"{kind}: {each.get('reason')} {each.get('message', '')}" for kind, each in said.items()
    )
    return kube.Seen(done, words or "nothing is said of it yet")
