"""On a cluster: the shipped state is not solved, solutions pass, wrong answers are rejected for the right reason.

`make test` proves lab 00; `make ci` the other labs that have changed, and a tenth of the rest, with some mutants each.
"""

from __future__ import annotations

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.course.manifest import Exercise, Lab, find_lab
from labsupport.course.proofs import content

pytestmark = pytest.mark.on_cluster

MUTANTS = 2  # of each exercise, drawn by the commit; `labs content --all --mutate` tries all

CHOSEN = [pytest.param(lab, exercise, id=exercise.id) for lab, exercise in content.choose() if lab.id != "00"]


def prove(cluster: Cluster, lab: Lab, exercise: Exercise, *, mutate: bool) -> content.ExerciseResult:
    chosen = [(lab, exercise)]
    (result,) = content.prove(kube.connect(cluster.kubeconfig), chosen, mutate=mutate, sample=MUTANTS)
    print(content.table([result]))
    return result


def test_lab_00_is_honest(cluster: Cluster) -> None:
    for lab, exercise in content.every([find_lab("00")]):
        assert prove(cluster, lab, exercise, mutate=False).faults == ()


@pytest.mark.other_labs
@pytest.mark.parametrize(("lab", "exercise"), CHOSEN)
def test_exercises_are_honest(
    lab: Lab, exercise: Exercise, cluster: Cluster, exercises_table: list[content.ExerciseResult]
) -> None:
    result = prove(cluster, lab, exercise, mutate=True)
    exercises_table.append(result)
    assert result.faults == ()
