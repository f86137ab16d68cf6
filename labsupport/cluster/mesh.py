"""The mesh on a cluster of the course: what it is installed from, and that it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labsupport import paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.client import ApiClient

    from labsupport.mesh.admin.install import Installed

MANIFESTS = paths.CLUSTERS / "manifests" / "mesh"
# The mesh's own namespace is there on every cluster that `labs up` made; on others it may be missing.
NAMESPACE = paths.CLUSTERS / "manifests" / "base" / "namespace.yaml"


def documents() -> list[dict[str, Any]]:
    """The mesh's manifests, its namespace first."""
    from labsupport import kube

    files = [NAMESPACE, *sorted(MANIFESTS.glob("*.yaml"))]
    return [document for file in files for document in kube.load(file)]


def gateway_documents() -> list[dict[str, Any]]:
    """The Gateway API's official kinds, from the cache or the network. Errors: LabsError."""
    from labsupport.cluster import gatewayapi

    return gatewayapi.ensure(paths.cache())


def install(api: ApiClient, progress: Callable[[str], None] | None = None) -> Installed:
    """Bring the mesh onto the cluster, or back to how it should be there. Errors: LabsError."""
    from labsupport.mesh.admin import install as admin

    return admin.install(api, documents(), gateway_documents(), progress=progress)
