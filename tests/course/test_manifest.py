"""What is refused when a lab.toml is read, and that the refusal names the file and the fault."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labsupport.course import manifest
from labsupport.course.manifest import REQUIRED_WRONG, find_exercise, find_lab, labs, read
from labsupport.errors import LabsError


def text(exercise: str, lab: str = "zz") -> str:
    return f'''
id = "{lab}"
title = "Z"
notebook = "{lab}"
[[exercises]]
id = "{lab}-one"
title = "One"
minutes = 1
expected = "e"
hints = ["a", "b", "c"]
explanation = "x"
{exercise}'''


def exercise(form: str, more: str = "", suffix: str = "yaml", **change: Any) -> str:
    """A complete exercise of the form; `change` takes away or adds wrong answers of a kind."""
    kinds = REQUIRED_WRONG[form] | change  # type: ignore[index]
    wrong = [
        f'{{ file = "{kind}{number}.{suffix}", kind = "{kind}", diagnostic = "zz-one/{kind}" }}'
        for kind, times in kinds.items()
        for number in range(times)
    ]
    return f'form = "{form}"\nwrong = [{", ".join(wrong)}]\n{more}'


PREDICT = 'predict = { unit = "s" }'


def fault(directory: Path, content: str) -> str:
    (directory / "lab.toml").write_text(content)
    with pytest.raises(LabsError) as caught:
        read(directory)
    assert str(directory / "lab.toml") in caught.value.what
    return caught.value.what


@pytest.mark.parametrize("form", REQUIRED_WRONG)
def test_a_complete_exercise_of_each_form_is_read(tmp_path: Path, form: str) -> None:
    (tmp_path / "lab.toml").write_text(text(exercise(form, PREDICT if form == "predict" else "")))
    assert read(tmp_path).exercises[0].form == form


@pytest.mark.parametrize(
    ("form", "kind"), [(form, kind) for form, kinds in REQUIRED_WRONG.items() for kind in kinds]
)
def test_each_kind_that_the_form_needs_is_missed(tmp_path: Path, form: str, kind: str) -> None:
    needed = REQUIRED_WRONG[form][kind]  # type: ignore[index]
    said = fault(tmp_path, text(exercise(form, **{kind: needed - 1})))
    assert f"zz-one: an exercise of the form '{form}' needs" in said
    assert f"'{kind}'" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (exercise("apply", culprit=1), "'culprit' do not belong"),
        (exercise("predict", PREDICT, own=1), "has no wrong answers"),
        (exercise("predict"), "needs `predict`"),
        (exercise("predict", 'predict = { options = ["a", "b"], unit = "s" }'), "either options or a unit"),
        (exercise("predict", "predict = {}"), "either options or a unit"),
        (exercise("predict", 'predict = { options = ["a"] }'), "one option"),
        (exercise("apply", suffix="txt"), "neither YAML"),
        (exercise("apply", 'second = ["other.json"]'), "neither YAML"),
        (exercise("apply", 'second = ["own0.yaml"]'), "there 2 times"),
        (exercise("apply").replace("zz-one/own", "zz-two/own"), "'zz-two/own'"),
        (
            exercise("apply", suffix="py").replace(
                'diagnostic = "zz-one/place"', 'diagnostic = "zz-one/place", elsewhere = true'
            ),
            "`elsewhere` is for YAML",
        ),
        (exercise("apply", "zecond = []"), "zecond"),
        (
            exercise(
                "apply", 'equivalent = [{ mutant = "m", reason = "r" }, { mutant = "m", reason = "s" }]'
            ),
            "equivalent mutant 'm'",
        ),
    ],
)
def test_a_fault_is_named_with_its_file(tmp_path: Path, content: str, said: str) -> None:
    assert said in fault(tmp_path, text(content))


def test_ids_that_do_not_fit_are_named(tmp_path: Path) -> None:
    once = text(exercise("apply"))
    second = once[once.index("[[exercises]]") :]
    assert "zz-one is there 2 times" in fault(tmp_path, once + second)
    assert "does not begin with the lab's id" in fault(tmp_path, once.replace('id = "zz"', 'id = "yy"'))


def test_a_diagnostic_of_the_engine_needs_no_exercise(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text(text(exercise("code").replace("zz-one/nothing", "wrong-type")))
    assert read(tmp_path).exercises[0].wrong


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A source tree of the test's own: `fine` can be read, `odd` cannot."""
    for name, content in (("fine", text(exercise("apply"))), ("odd", "id = 3")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lab.toml").write_text(content)
    monkeypatch.setattr(manifest, "SOURCE", tmp_path)
    manifest._read_all.cache_clear()
    yield tmp_path
    manifest._read_all.cache_clear()


def test_a_fault_in_one_lab_leaves_the_others_open(source: Path) -> None:
    assert find_lab("ZZ").id == "zz"
    assert find_exercise("zz-one")[1].id == "zz-one"
    with pytest.raises(LabsError, match="odd"):
        labs()
    with pytest.raises(LabsError, match="odd"):
        find_lab("o9")


def test_two_labs_of_one_id_are_named(source: Path) -> None:
    (source / "odd" / "lab.toml").write_text(text(exercise("apply")))
    with pytest.raises(LabsError, match="that of fine too"):
        labs()
