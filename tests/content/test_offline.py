"""Exercises in Python, as far as they need no cluster: solutions are accepted, wrong answers and mutants rejected."""

from __future__ import annotations

import pytest

from labsupport.course.exercise import checks_of
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.proofs import content

OFFLINE = [
    pytest.param(lab, exercise, id=exercise.id)
    for lab, exercise in content.every()
    if exercise.id in checks_of(lab, "OFFLINE")
]


@pytest.mark.parametrize(("lab", "exercise"), OFFLINE)
def test_exercises_are_honest_without_a_cluster(lab: Lab, exercise: Exercise) -> None:
    (result,) = content.prove(None, [(lab, exercise)])
    assert result.faults == ()
    assert result.shipped == "not_yet"


def test_each_exercise_in_python_has_an_offline_check() -> None:
    programs = {exercise.id for _, exercise in content.every() if exercise.form == "code"}
    assert programs <= {parameter.id for parameter in OFFLINE}
