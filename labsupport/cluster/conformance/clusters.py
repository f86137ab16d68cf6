"""The cluster that a suite runs against: one of the person's own, or one that is made for the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from labsupport import cluster as clusters
from labsupport.cluster.bench import own_state
from labsupport.cluster.directory import ClusterDirectory
from labsupport.errors import LabsError

NAME = "conformance"


@contextmanager
def running(
    name: str = "", nodes: int | None = None, backends: Sequence[str] = ("embedded",)
) -> Iterator[ClusterDirectory]:
    """The directory of cluster `name`, which must run; without a name of a new one, which is gone at the end.

    `nodes`: how many the new one has (None: one). `backends`: those that the suite can run on, the first of them for a
    new cluster. LabsError for a number of nodes beside a name, and for a cluster of another back end.
    """
    if name:
        if nodes is not None:
            raise LabsError(
                f"Cluster {name!r} has its own number of nodes; --nodes is for a cluster that is made for the run.",
                fix="leave out --nodes or --name",
            )
        cluster = clusters.get(name)
        if cluster.backend not in backends:
            raise LabsError(
                f"Cluster {name!r} is of the back end {cluster.backend!r}; "
                f"the suite runs on {' and '.join(backends)} clusters.",
                fix="leave out --name: a cluster is made for the run",
            )
        yield ClusterDirectory(name)
        return
    with own_state():
        made = clusters.get(NAME, backends[0], nodes=nodes)
        try:
            made.up()
            yield ClusterDirectory(NAME)
        finally:
            made.down()
