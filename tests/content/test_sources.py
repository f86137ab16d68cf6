"""What can be proven of the labs' contents without a cluster."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import yaml

from labsupport import kube
from labsupport.course import authoring, content
from labsupport.course.exercise import checks_of
from labsupport.course.manifest import Exercise, Lab, labs
from labsupport.paths import LABS

EXERCISES = [pytest.param(lab, exercise, id=exercise.id) for lab in labs() for exercise in lab.exercises]
LAB_LIST = [pytest.param(lab, id=lab.id) for lab in labs()]


def test_notebooks_are_what_their_sources_give() -> None:
    authoring.build(check=True)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_no_hint_contains_a_line_of_the_solution(lab: Lab, exercise: Exercise) -> None:
    assert content.leaks(lab, exercise) == []


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_an_exercise_is_complete(lab: Lab, exercise: Exercise) -> None:
    """A check, an answer cell, four kinds of wrong answer, and every file that lab.toml names."""
    assert exercise.id in checks_of(lab)
    assert authoring.shipped_of(lab, exercise.id) != authoring.solution_of(lab, exercise.id)
    if exercise.form == "apply":
        assert {"slip", "place", "nothing", "own"} <= {wrong.kind for wrong in exercise.wrong}
    files = [*lab.start, *exercise.needs]
    files += [f"wrong/{exercise.id}/{wrong.file}" for wrong in exercise.wrong]
    files += [f"solutions/{exercise.id}/{name}" for name in exercise.second]
    for file in files:
        if file.endswith(".yaml"):
            assert kube.load(lab.directory / file)
    kept = {path.name for path in (lab.directory / "wrong" / exercise.id).glob("*")}
    assert kept == {wrong.file for wrong in exercise.wrong}


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_every_expected_diagnostic_is_one_of_the_check(lab: Lab, exercise: Exercise) -> None:
    source = (lab.directory / "checks.py").read_text()
    for wrong in exercise.wrong:
        assert f'"{wrong.diagnostic}"' in source


@pytest.mark.parametrize("lab", LAB_LIST)
def test_no_manifest_names_a_namespace(lab: Lab) -> None:
    """Labs live in namespaces that the engine chooses, so that many learners can share a cluster."""
    for path in lab.directory.rglob("*.yaml"):
        for document in kube.load(path):
            assert "namespace" not in document["metadata"], path
    assert f"lab-{lab.id}" not in re.sub(r"labs/source/\S+", "", (lab.directory / "lab.py").read_text())


@pytest.mark.parametrize("lab", LAB_LIST)
def test_headings_do_not_skip_a_level(lab: Lab) -> None:
    levels = [
        len(match[1])
        for cell in authoring.cells(lab)
        if cell.type == "markdown"
        for match in re.finditer(r"^(#+) ", cell.source, re.MULTILINE)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))


@pytest.mark.parametrize("lab", LAB_LIST)
def test_links_within_the_repository_lead_somewhere(lab: Lab) -> None:
    for cell in authoring.cells(lab):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", cell.source):
            assert (LABS / target).exists(), target


def test_yaml_in_answer_cells_is_yaml() -> None:
    for lab in labs():
        for exercise in lab.exercises:
            for text in re.findall(r'"""(.*?)"""', authoring.solution_of(lab, exercise.id), re.DOTALL):
                assert yaml.safe_load(text)
