"""Clusters: one interface (`interface.Cluster`), several back ends.

Programs inside the node import packages below this one with the standard library alone, so nothing is imported here
until it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labsupport.cluster.interface import Cluster, SeveralNodes

__all__ = ["BACKENDS", "DEFAULT_NAME", "current", "get", "nodes_of"]

BACKENDS = ("embedded", "kind")
DEFAULT_NAME = "labs"


def get(
    name: str = DEFAULT_NAME,
    backend: str | None = None,
    *,
    image: str | None = None,
    nodes: int | None = None,
) -> SeveralNodes:
    """The cluster of that name, whether it exists or not; a back end is needed only to make another kind than it is.

    `image`: the node image to make it from, for back ends that have one. `nodes`: how many nodes `up` is to bring up,
    for back ends that can have several; None: those that the cluster has, else one.

    Raises LabsError for a bad name, an unknown back end, or a name that a cluster of another back end has.
    """
    from labsupport.cluster.directory import ClusterDirectory
    from labsupport.errors import LabsError

    recorded = ClusterDirectory(name).read_record().get("backend")
    if backend and recorded and backend != recorded:
        raise LabsError(
            f"Cluster {name!r} exists and is of the back end {recorded!r}, not {backend!r}.",
            fix=f"choose another --name, or remove it with `labs down --name {name}`",
        )
    wanted = backend or recorded or "embedded"
    if wanted == "kind":
        from labsupport.cluster.kind.backend import KindCluster

        return KindCluster(name, image, nodes)
    if image:
        raise LabsError(
            f"The back end {wanted!r} has no node image.", fix="--image belongs to --backend kind"
        )
    if wanted == "embedded":
        from labsupport.cluster.embedded.backend import EmbeddedCluster

        return EmbeddedCluster(name, nodes)
    raise LabsError(f"There is no back end {wanted!r}.", fix=f"choose one of: {', '.join(BACKENDS)}")


def nodes_of(name: str) -> SeveralNodes:
    """The cluster of that name, for commands about its nodes. Raises LabsError where there is none."""
    from labsupport.errors import LabsError

    found = get(name)
    if not found.exists():
        raise LabsError(f"There is no cluster {name!r}.", fix="`labs up --nodes 3` makes one of three nodes")
    return found


def current() -> Cluster:
    """The cluster that notebooks and commands use when none is named: the default one, else the only one.

    Raises LabsError where there are several and none of them is the default one.
    """
    from labsupport.cluster.directory import existing
    from labsupport.errors import LabsError

    names = existing()
    if DEFAULT_NAME in names or not names:
        return get(DEFAULT_NAME)
    if len(names) == 1:
        return get(names[0])
    raise LabsError(f"There are several clusters: {', '.join(names)}.", fix="say which with --name")
