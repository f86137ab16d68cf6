"""How long a lab takes, and how its author gets to know."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from labsupport.course import authoring, durations
from labsupport.course.manifest import Lab, read
from labsupport.errors import LabsError

MANIFEST = """\
# An author's own remark.
id = "zz"
title   = "Z"   # oddly set, on purpose
notebook = "zz"
minutes = 3

[[exercises]]
id = "zz-one"
title = "One"
form = "predict"
minutes = 4
predict = { unit = "s" }
expected = "e"
hints = ["a", "b", "c"]
explanation = '''
Because.'''
"""


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    (tmp_path / "lab.toml").write_text(MANIFEST)
    (tmp_path / "lab.py").write_text(
        "# %% [markdown]\n# # Title\n#\n# Prose.\n\n"
        '# %% exercise="zz-one"\n### BEGIN SOLUTION: lab.predict("zz-one", ...)\nlab.predict("zz-one", 1)\n'
        "### END SOLUTION\n"
    )
    return read(tmp_path)


def test_words_are_counted_in_prose_and_code() -> None:
    assert durations.words(["It's a well-known *rule*: `lab.check(2)`.", "", "x_1 = 2"]) == 9


def test_the_parts_are_added_and_rounded_up(lab: Lab) -> None:
    recorded = lab.model_copy(update={"seconds": 90.0})
    texts = ["word " * durations.WORDS_PER_MINUTE * 2]
    assert durations.minutes(recorded, texts) == pytest.approx(2 + 1.5 + 3 + 4)
    assert durations.estimate(recorded, texts) == "about 15 minutes"
    assert durations.estimate(recorded, texts * 3) == "about 15 minutes"
    assert durations.estimate(recorded, texts * 4) == "about 20 minutes"


def test_without_a_record_there_is_no_estimate_and_the_lab_is_named(lab: Lab) -> None:
    assert durations.estimate(lab, ["word"]) == ""
    with pytest.raises(LabsError, match="zz") as caught:
        authoring.require_durations([lab])
    assert "--record" in caught.value.fix
    authoring.require_durations([lab.model_copy(update={"seconds": 1.0})])


def test_a_record_changes_one_line_and_then_one_value(lab: Lab) -> None:
    path = lab.directory / "lab.toml"
    durations.write(lab, 12.5)
    once = path.read_text()
    assert [line for line in once.splitlines() if line not in MANIFEST.splitlines()] == ["seconds = 12.5"]
    assert [line for line in once.splitlines() if line != "seconds = 12.5"] == MANIFEST.splitlines()
    assert read(lab.directory).seconds == 12.5
    durations.write(lab, 13.5)
    assert path.read_text() == once.replace("12.5", "13.5")
    assert tomllib.loads(path.read_text())["exercises"][0]["id"] == "zz-one"


def test_the_estimate_stands_below_the_title_of_both_notebooks(lab: Lab) -> None:
    recorded = lab.model_copy(update={"seconds": 30.0})
    for solution in (False, True):
        assert "*About 10 minutes.*" not in authoring.generate(lab, solution=solution)
        assert '"# Title\\n",\n    "\\n",\n    "*About 10 minutes.*\\n",\n' in authoring.generate(
            recorded, solution=solution
        )
