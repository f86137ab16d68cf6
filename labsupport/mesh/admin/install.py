"""Bring the mesh onto a cluster, and bring it up to date: plain manifests, applied and waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.objects import Applied, discover
from labsupport.kube.wait import Seen, Target
from labsupport.mesh import names
from labsupport.mesh.admin import gateway, workloads
from labsupport.mesh.admin.status import mesh_namespaces, revision_now, webhook_state
from labsupport.mesh.admin.workloads import Owner
from labsupport.mesh.inject import registration
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
Progress = Callable[[str], None]
TIMEOUT = patient(120.0)  # seconds for the control plane; it takes about 3
RESTART_TIMEOUT = patient(180.0)  # seconds for one workload
CONTROL_PLANE = Owner("Deployment", names.SYSTEM, names.CONTROL)
GROUP_VERSION = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True)
class Installed:
    """What was done: the objects that are there now, and what became of the Gateway API's kinds, as a sentence."""

    applied: tuple[Applied, ...]
    gateway_api: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        objects = [
            {"kind": each.kind, "namespace": each.namespace, "name": each.name} for each in self.applied
        ]
        return {"objects": objects, "gateway_api": self.gateway_api}


@dataclass(frozen=True)
class Upgraded:
    """What was done, and the workloads with Pods that have an older proxy or none.

    `restarted` were; `open_` are to be by who owns them: those that no rollout makes anew too (bare Pods, Jobs).
    """

    installed: Installed
    restarted: tuple[Owner, ...]
    open_: tuple[Owner, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            **self.installed.as_dict(),
            "restarted": [each._asdict() for each in self.restarted],
            "to_restart": [each._asdict() for each in self.open_],
        }


def install(
    api: ApiClient,
    documents: Sequence[Object],
    gateway_documents: Sequence[Object],
    *,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Installed:
    """Apply the mesh's manifests and, where the cluster needs them, the Gateway API's; wait until it injects Pods.

    May be called again, after an interruption or not. `timeout` is in seconds. Errors: LabsError with the reason where
    something was refused or does not become ready.
    """
    choice = gateway.choose(gateway_documents, _present(api, gateway_documents))
    if progress:
        progress(choice.why)
    applied = kube.apply(api, choice.apply)
    _check_routes(api)
    # The webhook last: from then on the mesh's namespaces need the control plane, which takes a moment to start.
    applied += kube.apply(api, sorted(documents, key=lambda each: each["kind"] == registration.KIND))
    _wait(api, timeout, progress)
    return Installed(tuple(applied), choice.why)


def upgrade(
    api: ApiClient,
    documents: Sequence[Object],
    gateway_documents: Sequence[Object],
    *,
    restart: bool = False,
    timeout: float = TIMEOUT,
    progress: Progress | None = None,
) -> Upgraded:
    """Apply again, make the control plane anew (the new one is ready before the old one ends), and see who has an older
    proxy.

    Proxies go on without their control plane, so nothing is to be noticed of it. `restart`: workloads with Pods that
    have an older proxy, or none, are restarted one after another, each in its own way, and the first that does not
    become ready ends it: a proxy that does not work must not reach them all. Errors: LabsError.
    """
    before = _generation(api)
    if before is None:
        raise LabsError("There is no mesh on this cluster.", fix="labs mesh install")
    installed = install(api, documents, gateway_documents, timeout=timeout, progress=progress)
    if _generation(api) == before:
        # Nothing in the Deployment says so, but what is behind its image's name may be another program.
        workloads.restart(api, CONTROL_PLANE, timeout=timeout, progress=progress)
    mesh = mesh_namespaces(api)
    revision = revision_now(api, mesh[0]) if mesh else ""
    rolled, others = workloads.owners_to_restart(workloads.look(api, mesh, revision))
    if not restart:
        return Upgraded(installed, (), tuple(rolled + others))
    restart_all(api, rolled, progress)
    return Upgraded(installed, tuple(rolled), tuple(others))


def restart_all(api: ApiClient, owners: Iterable[Owner], progress: Progress | None = None) -> None:
    """Restart workloads one after another. Errors: LabsError at the first that does not become ready."""
    for owner in owners:
        if progress:
            progress(f"{owner} is restarted")
        workloads.restart(api, owner, timeout=RESTART_TIMEOUT, progress=progress)


def _generation(api: ApiClient) -> int | None:
    """Which making of the control plane's Deployment there is; None without one."""
    found = kube.get(api, "apps/v1", CONTROL_PLANE.kind, CONTROL_PLANE.name, CONTROL_PLANE.namespace)
    return int(found["metadata"]["generation"]) if found else None


def _present(api: ApiClient, documents: Iterable[Object]) -> list[Object]:
    """The cluster's objects of the names that `documents` have."""
    found = []
    for each in documents:
        present = kube.get(api, each["apiVersion"], each["kind"], each["metadata"]["name"])
        if present is not None:
            found.append({"kind": each["kind"], **present})
    return found


def _check_routes(api: ApiClient) -> None:
    """Errors: LabsError where the cluster's Gateway API has not what the control plane follows."""
    served = {each.plural for version in ("v1", "v1beta1") for each in _kinds(api, version)}
    if missing := [each for each in gateway.NEEDED if each not in served]:
        raise LabsError(
            f"The Gateway API on this cluster has no {', '.join(missing)}.",
            fix="install its standard channel, version 1.1 or newer, or remove it and run `labs mesh install` again",
        )


def _kinds(api: ApiClient, version: str) -> list[Any]:
    return list(discover(api, f"gateway.networking.k8s.io/{version}").values())


def _wait(api: ApiClient, timeout: float, progress: Progress | None) -> None:
    control = Target("apps/v1", CONTROL_PLANE.kind, CONTROL_PLANE.name, CONTROL_PLANE.namespace)
    kube.until_ready(api, [control], timeout=timeout, progress=progress)
    configuration = Target(registration.API_VERSION, registration.KIND, names.INJECTOR)
    kube.until(api, configuration, _trusted, timeout=timeout, progress=progress)


def _trusted(objects: list[Object]) -> Seen:
    """Met when the API server can call the webhook."""
    state = webhook_state(objects[0] if objects else None)
    told = {
        "trusted": "the API server knows the webhook's roots",
        "untrusted": "the control plane has not told the API server its roots yet",
        "missing": "the webhook's configuration is gone",
    }
    return Seen(state == "trusted", told[state])
