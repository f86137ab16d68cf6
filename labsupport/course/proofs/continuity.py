"""Checkpoints are honest: `lab.start(at=...)` gives the cluster that a learner has who came there by the notebook.

Compared are whole clusters, at rest, before the first answer cell of each exercise: once in a run of the solution
notebook from its top, once from a start at that exercise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.course.manifest import Lab
from labsupport.course.proofs.running import run_solutions
from labsupport.course.worlds import snapshot
from labsupport.course.worlds import world as worlds
from labsupport.course.worlds.ownership import expand

if TYPE_CHECKING:
    from labsupport.cluster.interface import Cluster

SETTLE = 15.0  # seconds for what a start made to come to rest
# The start's own mark: it says from where the lab was started.
_MARK = worlds.STARTED


def differences(
    lab: Lab, cluster: Cluster, progress: Callable[[str], None] = lambda text: None
) -> dict[str, list[str]]:
    """By exercise, how its checkpoint differs from what the notebook leads to; exercises without a difference are left
    out.

    Errors: LabsError if the solution notebook does not run.
    """
    api = kube.connect(cluster.kubeconfig)
    states: dict[str, snapshot.Snapshot] = {}

    def reached(exercise: str) -> None:
        progress(f"{exercise}: by the notebook")
        states[exercise] = snapshot.at_rest(api)

    run_solutions(lab, cluster, reached)
    found = {}
    for exercise, by_notebook in states.items():
        progress(f"{exercise}: by its checkpoint")
        worlds.start(worlds.World(api, lab), exercise)
        lines = snapshot.difference_when_settled(api, by_notebook, SETTLE)
        # Each start marks its namespace with where it began.
        lines = [line for line in lines if _MARK not in line and not _left(lab, line)]
        if lines:
            found[exercise] = lines
    return found


def _left(lab: Lab, line: str) -> bool:
    """Whether a difference is about an object that the notebook's demonstrations leave or change, as lab.toml says."""
    what = line.partition(": ")[2]
    return any(
        f"{what} ".startswith((f"{expand(lab, each)} ", f"{expand(lab, each)}:")) for each in lab.leaves
    )
