"""`labs new`: what it writes builds, its exercises work as far as no cluster is needed, and it is honest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labsupport.course.authoring import generate, shipped_of
from labsupport.course.manifest import Lab, read
from labsupport.course.proofs import content
from labsupport.course.proofs.judging import Answer, Judge
from labsupport.course.scaffold import scaffold
from labsupport.errors import LabsError


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    scaffold("o98", "Tides & moons", tmp_path)
    return read(tmp_path / "o98-tides-moons")


def test_both_notebooks_can_be_generated(lab: Lab) -> None:
    import nbformat

    for solution in (False, True):
        text = generate(lab, solution=solution)
        nbformat.validate(nbformat.reads(text, as_version=4))
        assert "${" not in text
    assert lab.notebook == "operators/o98-tides-moons"


def test_every_file_that_the_manifest_names_is_there(lab: Lab) -> None:
    for exercise in lab.exercises:
        for file in exercise.second:
            assert (lab.directory / "solutions" / exercise.id / file).is_file()
        kept = {path.name for path in (lab.directory / "wrong" / exercise.id).iterdir()}
        assert kept == {wrong.file for wrong in exercise.wrong}


def test_its_words_say_what_to_fill_in_and_nothing_is_left_to_do(lab: Lab) -> None:
    text = (lab.directory / "lab.py").read_text()
    assert "In this outline" in text
    for path in lab.directory.rglob("*"):
        assert not path.is_file() or not re.search(r"TODO|FIXME|XXX", path.read_text())


def test_what_needs_no_cluster_is_proven(lab: Lab) -> None:
    (result,) = content.prove(None, content.every([lab]), mutate=True)
    assert result.ok, result.faults
    assert (result.id, result.shipped) == ("o98-unwanted", "not_yet")
    assert {wrong.verdict for wrong in result.wrong} == {"not_yet"}
    assert result.mutants
    assert result.mutants.made == result.mutants.rejected == result.mutants.offline > 5


def test_the_shipped_state_says_that_its_cell_is_not_filled_in(lab: Lab) -> None:
    judge = Judge(None, lab, lab.exercises[1])
    found = judge.judge(Answer("as shipped", shipped_of(lab, "o98-unwanted"), may_raise=False))
    assert (found.verdict, found.notes) == ("not_yet", ())


@pytest.mark.parametrize("identifier", ["O3", "o-3", "three", "", "00"])
def test_an_id_that_cannot_be_is_refused(tmp_path: Path, identifier: str) -> None:
    with pytest.raises(LabsError, match=r"no id of a lab|already"):
        scaffold(identifier, "Title", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lab_is_not_written_over(tmp_path: Path) -> None:
    scaffold("o98", "Title", tmp_path)
    with pytest.raises(LabsError, match="already"):
        scaffold("o98", "Title", tmp_path)
