"""From a source to two notebooks, and from a notebook to the learner's copy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from labsupport.course.authoring import filled, gap, generate, shipped_of, solution_of
from labsupport.course.manifest import Lab, read
from labsupport.course.notebook import open_copy
from labsupport.errors import LabsError

SOURCE = """\
# %% [markdown]
# # Title

# %% exercise="zz-one"
def answer():
    ### BEGIN SOLUTION: return None  # your code
    return 42
    ### END SOLUTION

# %% tags=["learner-raises"]
answer() + 1

# %%
same = 1

# %%
same = 1

# %% [markdown] tags=["solution"]
# Why it works.
"""
MANIFEST = """\
id = "zz"
title = "Z"
notebook = "zz"
minutes = 1
[[exercises]]
id = "zz-one"
title = "One"
form = "code"
minutes = 1
expected = "e"
hints = ["a", "b", "c"]
explanation = "x"
wrong = [
  { file = "a.py", kind = "slip", diagnostic = "zz-one/d" },
  { file = "b.py", kind = "visible", diagnostic = "zz-one/d" },
  { file = "c.py", kind = "nothing", diagnostic = "wrong-type" },
  { file = "d.py", kind = "own", diagnostic = "zz-one/d" },
]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "lab.py").write_text(SOURCE)
    (tmp_path / "lab.toml").write_text(MANIFEST)
    return read(tmp_path)


def cells(text: str) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads(text)["cells"]
    return loaded


def test_learners_get_the_gap_and_solutions_the_answer(lab: Lab) -> None:
    assert shipped_of(lab, "zz-one") == "def answer():\n    return None  # your code"
    assert solution_of(lab, "zz-one") == "def answer():\n    return 42"
    learner, solution = cells(generate(lab, solution=False)), cells(generate(lab, solution=True))
    assert len(solution) == len(learner) + 1
    assert "42" not in json.dumps(learner)
    assert learner[2]["metadata"] == {"tags": ["raises-exception"]}
    assert solution[2]["metadata"] == {}


def test_both_notebooks_share_their_cells_ids_and_equal_cells_differ(lab: Lab) -> None:
    learner = [cell["id"] for cell in cells(generate(lab, solution=False))]
    solution = [cell["id"] for cell in cells(generate(lab, solution=True))]
    assert learner == solution[: len(learner)]
    assert len(set(solution)) == len(solution)


def test_equal_sources_give_equal_bytes_and_an_edit_moves_one_id_only(lab: Lab) -> None:
    before = generate(lab, solution=False)
    assert generate(lab, solution=False) == before
    path = lab.directory / "lab.py"
    path.write_text("# %%\nfirst = 0\n\n" + path.read_text())
    after = [cell["id"] for cell in cells(generate(lab, solution=False))]
    assert after[1:] == [cell["id"] for cell in cells(before)]


def test_the_notebook_is_valid(lab: Lab) -> None:
    import nbformat

    nbformat.validate(nbformat.reads(generate(lab, solution=True), as_version=4))


@pytest.mark.parametrize(
    "source", ["### BEGIN SOLUTION\nx", "x\n### END SOLUTION", "### BEGIN SOLUTION\n" * 2]
)
def test_unpaired_markers_are_an_error(source: str) -> None:
    with pytest.raises(LabsError, match=r"[Ss]olution"):
        gap(source)


def test_without_markers_nothing_changes() -> None:
    assert gap("a\nb") == filled("a\nb") == "a\nb"


@pytest.fixture
def shipped(tmp_path: Path, lab: Lab) -> Path:
    place = tmp_path / "shipped"
    place.mkdir()
    (place / "zz.ipynb").write_text(generate(lab, solution=False))
    return place


def test_a_copy_is_made_once_and_never_overwritten(tmp_path: Path, lab: Lab, shipped: Path) -> None:
    work = tmp_path / "work"
    first = open_copy(lab, work=work, shipped=shipped)
    assert first.made
    edited = json.loads(first.path.read_text())
    edited["cells"][0]["source"] = "mine"
    first.path.write_text(json.dumps(edited))
    again = open_copy(lab, work=work, shipped=shipped)
    assert (again.made, again.path) == (False, first.path)
    assert "mine" in first.path.read_text()
    assert "newer" not in again.message


def test_a_fresh_copy_is_put_beside(tmp_path: Path, lab: Lab, shipped: Path) -> None:
    work = tmp_path / "work"
    names = [open_copy(lab, fresh=True, work=work, shipped=shipped).path.name for _ in range(3)]
    assert names == ["zz.ipynb", "zz-2.ipynb", "zz-3.ipynb"]


def test_a_newer_shipped_version_is_announced(tmp_path: Path, lab: Lab, shipped: Path) -> None:
    work = tmp_path / "work"
    open_copy(lab, work=work, shipped=shipped)
    source = lab.directory / "lab.py"
    source.write_text(source.read_text() + "\n# %%\nnew = 1\n")
    (shipped / "zz.ipynb").write_text(generate(lab, solution=False))
    assert "--fresh" in open_copy(lab, work=work, shipped=shipped).message


def test_a_notebook_that_was_not_generated_is_named(tmp_path: Path, lab: Lab) -> None:
    with pytest.raises(LabsError, match=r"zz\.ipynb"):
        open_copy(lab, work=tmp_path / "work", shipped=tmp_path)
