"""What can be proven of the labs' contents without a cluster."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
import yaml

from labsupport.course import authoring
from labsupport.course.exercise import checks_of
from labsupport.course.manifest import GENERIC, Exercise, Lab, labs
from labsupport.course.proofs import content
from labsupport.course.worlds import world
from labsupport.paths import LABS

EXERCISES = [pytest.param(lab, exercise, id=exercise.id) for lab in labs() for exercise in lab.exercises]
LAB_LIST = [pytest.param(lab, id=lab.id) for lab in labs()]


def test_notebooks_are_what_their_sources_give() -> None:
    authoring.build(check=True)


def test_every_lab_has_a_measured_duration() -> None:
    authoring.require_durations()


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_no_hint_contains_a_line_of_the_solution(lab: Lab, exercise: Exercise) -> None:
    assert content.leaks(lab, exercise) == []


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_an_exercise_is_complete(lab: Lab, exercise: Exercise) -> None:
    """A check, an answer cell, and every file that lab.toml names; no file that it does not."""
    assert exercise.id in checks_of(lab) or exercise.id in checks_of(lab, "OFFLINE")
    assert authoring.shipped_of(lab, exercise.id) != authoring.solution_of(lab, exercise.id)
    for file in [*lab.start, *exercise.needs]:
        assert world.load(world.World(None, lab), file)  # type: ignore[arg-type]  # no cluster is asked
    for directory, named in (
        ("wrong", [wrong.file for wrong in exercise.wrong]),
        ("solutions", exercise.second),
    ):
        place = lab.directory / directory / exercise.id
        kept = {path.name for path in place.iterdir() if path.is_file()} if place.is_dir() else set()
        assert kept == set(named), f"{directory} of {exercise.id}"
        for name in named:
            text = (place / name).read_text(encoding="utf-8")
            if name.endswith(".yaml"):
                assert world.parse(world.World(None, lab), text)  # type: ignore[arg-type]
            else:
                compile(text, name, "exec")


@pytest.mark.parametrize("lab", LAB_LIST)
def test_enough_exercises_have_a_second_solution(lab: Lab) -> None:
    """Four in ten, of those that can be solved in more than one way: a prediction cannot."""
    solved = [exercise for exercise in lab.exercises if exercise.form != "predict"]
    assert sum(bool(exercise.second) for exercise in solved) >= 0.4 * len(solved)


@pytest.mark.parametrize(("lab", "exercise"), EXERCISES)
def test_every_expected_diagnostic_is_one_of_the_check(lab: Lab, exercise: Exercise) -> None:
    source = "\n".join(path.read_text() for path in lab.checks_files)
    for wrong in exercise.wrong:
        # Some checks put the exercise's id in front themselves.
        own = wrong.diagnostic.removeprefix(f"{exercise.id}/")
        assert wrong.diagnostic in GENERIC or re.search(rf"[\"/]{re.escape(own)}\"", source)


@pytest.mark.parametrize("lab", LAB_LIST)
def test_no_manifest_names_a_namespace(lab: Lab) -> None:
    """Labs live in namespaces that the engine chooses, so that many learners can share a cluster."""
    for path in lab.directory.rglob("*.yaml"):
        for document in world.load(world.World(None, lab), path):  # type: ignore[arg-type]
            if document["kind"] == "MeshConfig":  # the mesh's settings have one place, for all labs
                continue
            assert "namespace" not in document.get("metadata", {}), path
    for path in lab.directory.rglob("*.py"):
        assert not re.search(rf"(?<![\w/-])lab-{lab.id}\b", path.read_text()), path


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
    """From where the notebooks lie: both trees, and the learner's copy, which lies as the learner's tree does."""
    for cell in authoring.cells(lab):
        for target in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", cell.source):
            assert ((LABS / f"{lab.notebook}.ipynb").parent / target).exists(), target
        for anchor in re.findall(r"\]\(#([^)\s]+)\)", cell.source):
            assert anchor in _anchors(lab), anchor


def _anchors(lab: Lab) -> set[str]:
    """JupyterLab's anchors: a heading's words, joined by dashes."""
    return {
        re.sub(r"\s+", "-", match[1].replace("`", "").strip())
        for cell in authoring.cells(lab)
        if cell.type == "markdown"
        for match in re.finditer(r"^#+ (.*)$", cell.source, re.MULTILINE)
    }


@pytest.mark.parametrize("lab", LAB_LIST)
def test_every_image_has_a_text_in_its_place(lab: Lab) -> None:
    for cell in authoring.cells(lab):
        if cell.type != "markdown":
            continue
        assert not re.search(r"!\[\s*\]", cell.source)
        for image in re.findall(r"<img\b[^>]*>", cell.source):
            assert re.search(r"\balt=\"[^\"]{3,}\"", image), image
        for picture in re.findall(r"<svg\b.*?</svg>", cell.source, re.DOTALL):
            assert "<title" in picture or "aria-label=" in picture


@pytest.mark.parametrize("lab", LAB_LIST)
def test_prose_talks_nobody_down(lab: Lab) -> None:
    prose = [cell.source for cell in authoring.cells(lab) if cell.type == "markdown"]
    prose += [text for exercise in lab.exercises for text in (*exercise.hints, exercise.explanation)]
    for text in prose:
        assert not re.search(r"\b(simply|obviously|of course)\b", text, re.IGNORECASE), text


def test_yaml_in_answer_cells_is_yaml() -> None:
    for lab in labs():
        for exercise in lab.exercises:
            for text in re.findall(
                r'lab\.apply\("""(.*?)"""', authoring.solution_of(lab, exercise.id), re.DOTALL
            ):
                assert list(yaml.safe_load_all(text))
