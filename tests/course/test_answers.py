"""Answers from a file: its names are the learner's, its faults are told with its lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.course import answers
from labsupport.course.manifest import Lab
from labsupport.errors import LabsError

LAB = Lab.model_validate({"id": "zz", "title": "Z", "notebook": "zz", "minutes": 1, "exercises": []})


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "find_exercise", lambda identifier: (LAB, None))


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "answer.py"
    file.write_text(text)
    return file


def test_its_names_are_the_learners_and_lab_is_open_without_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABS_KUBECONFIG", str(tmp_path / "none"))
    file = write(tmp_path, "LIMIT = 3\ndef plan(pods):\n    return pods[:LIMIT]\n")
    names = answers.from_file(file, "zz-one")._names()
    assert names["plan"]([1, 2, 3, 4]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\ndef f(:\n    pass\n", "answer.py, line 2: "),
        ("x = 1\n\ny = x / 0\n", "answer.py, line 3 (`y = x / 0`): ZeroDivisionError"),
        ("import no_such_module_of_ours\n", "line 1 (`import no_such_module_of_ours`): ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LabsError) as raised:
        answers.from_file(write(tmp_path, text), "zz-one")
    assert said in raised.value.what


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "answer.py"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabsError, match="cannot be read"):
        answers.from_file(file, "zz-one")
