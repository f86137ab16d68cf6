"""The learner's commands without a cluster: the same record and the same rules as in a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from labsupport.cli.application import labs
from labsupport.course.manifest import Exercise, Prediction, find_lab
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict


@pytest.fixture(autouse=True)
def _own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(labs, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_hints_come_one_at_a_time_and_are_in_the_progress() -> None:
    assert [run("hint", "00-expose")[1]["level"] for _ in range(4)] == [1, 2, 3, 3]
    _, data = run("progress", "00")
    assert [(each["exercise"], each["hint_level"]) for each in data["exercises"]] == [("00-expose", 3)]
    assert [lab["id"] for lab in data["labs"]] == ["00"]


def test_the_solution_opens_after_three_failed_checks() -> None:
    status, data = run("solution", "00-expose")
    assert (status, data["open"], data["code"]) == (1, False, "")
    for _ in range(3):
        Progress().add(Verdict("00-expose", "not_yet", "", "", "", "d"))
    status, data = run("solution", "00-expose")
    assert (status, data["open"]) == (0, True)
    assert "kind: Service" in data["code"]


@pytest.mark.parametrize(
    ("value", "status", "kept"), [("-3", 0, -3.0), ("2.5 ms", 0, 2.5), ("soon", 1, None)]
)
def test_a_prediction_is_committed(
    monkeypatch: pytest.MonkeyPatch, value: str, status: int, kept: float | None
) -> None:
    asked = Exercise(
        id="zz-p",
        title="P",
        form="predict",
        minutes=1,
        expected="x",
        hints=("a", "b", "c"),
        explanation="y",
        predict=Prediction(unit="ms"),
    )
    monkeypatch.setattr("labsupport.course.manifest.find_exercise", lambda name: (find_lab("00"), asked))
    assert run("predict", "zz-p", value)[0] == status
    assert Progress().prediction("zz-p") == kept
    status, data = run("predict", "zz-p")
    assert (status, data["committed"], data["prediction"]) == (1, False, kept)
    assert "a number (ms)" in data["text"]
