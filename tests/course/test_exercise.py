"""The engine around a check: whatever the check does, the learner gets a verdict."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labsupport import kube
from labsupport.course import exercise as engine
from labsupport.course import ladder
from labsupport.course.context import Context
from labsupport.course.exercise import Outcome, Probe, checks_of, not_yet, passed, run
from labsupport.course.manifest import Lab
from labsupport.course.progress import Progress
from labsupport.errors import LabsError

LAB = Lab.model_validate(
    {
        "id": "zz",
        "title": "Z",
        "notebook": "zz",
        "minutes": 1,
        "exercises": [
            {
                "id": "zz-one",
                "title": "One",
                "form": "code",
                "minutes": 1,
                "expected": "one",
                "hints": ["look in {namespace}", "think", "nearly"],
                "explanation": "because",
                "wrong": [
                    {"file": f"{n}.py", "kind": "own", "diagnostic": "zz-one/d"} for n in ("a", "b", "c", "d")
                ],
            }
        ],
    }
)
ONE = LAB.exercises[0]


@pytest.fixture
def store(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress.sqlite")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Callable[[Probe], Outcome]], None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(engine, "wrong_context", lambda api: None)

    def install(function: Callable[[Probe], Outcome]) -> None:
        monkeypatch.setitem(sys.modules, "labs_checks_zz", SimpleNamespace(CHECKS={"zz-one": function}))

    return install


def wrong(probe: Probe) -> Outcome:
    return not_yet("zz-one/wrong", "two", "x", "there")


def raising(error: BaseException) -> Callable[[Probe], Outcome]:
    def function(probe: Probe) -> Outcome:
        raise error

    return function


def verdict_of(store: Progress | None = None, **answers: Any) -> Any:
    return run(LAB, ONE, connect=lambda: None, answers=answers, store=store)  # type: ignore[arg-type, return-value]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose checks are written by the test; what is loaded of them is forgotten afterwards."""
    assert loaded() == []
    yield LAB.model_copy(update={"directory": tmp_path})
    for name in loaded():
        del sys.modules[name]


def loaded() -> list[str]:
    return sorted(name for name in sys.modules if name.split(".")[0] == "labs_checks_zz")


def write(lab: Lab, **modules: str) -> None:
    (lab.directory / "checks").mkdir()
    for name, text in modules.items():
        (lab.directory / "checks" / f"{name}.py").write_text(text)


TABLE = "from .one import one\nCHECKS = {'zz-one': one}\n"
ONE_ALONE = "from .words import WORD\ndef one(probe):\n    return WORD\n"


def test_checks_may_be_a_module_or_a_package(lab: Lab) -> None:
    (lab.directory / "checks.py").write_text("CHECKS = {}\n")
    # What Python leaves of a package that another revision had.
    (lab.directory / "checks" / "__pycache__").mkdir(parents=True)
    assert lab.checks_files == (lab.checks,) == (lab.directory / "checks.py",)
    assert checks_of(lab) == {}
    assert loaded() == ["labs_checks_zz"]


def test_modules_of_a_package_of_checks_know_each_other(lab: Lab) -> None:
    write(lab, __init__=TABLE, one=ONE_ALONE, words="WORD = 'seen'\n")
    assert checks_of(lab)["zz-one"](None) == "seen"  # type: ignore[arg-type, comparison-overlap]
    assert loaded() == ["labs_checks_zz", "labs_checks_zz.one", "labs_checks_zz.words"]
    assert [path.name for path in lab.checks_files] == ["__init__.py", "one.py", "words.py"]
    assert checks_of(lab, "OFFLINE") == {}


def test_a_package_of_checks_that_fails_leaves_nothing_loaded(lab: Lab) -> None:
    write(lab, __init__=TABLE, one=ONE_ALONE + "1 / 0\n", words="WORD = 'seen'\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            checks_of(lab)
        assert loaded() == []


def test_what_has_no_table_is_named(lab: Lab) -> None:
    write(lab, __init__="")
    with pytest.raises(LabsError, match=r"checks/__init__\.py defines no dictionary CHECKS"):
        checks_of(lab)


def test_a_pass_carries_the_explanation(check: Any, store: Progress) -> None:
    check(lambda probe: passed(f"saw {probe.answers['x']}", "x"))
    verdict = verdict_of(store, x=1)
    assert (verdict.verdict, verdict.observed, verdict.explanation) == ("pass", "saw 1", "because")


@pytest.mark.parametrize(
    ("error", "diagnostic"),
    [
        (kube.Unreachable("gone"), "cluster-unreachable"),
        (kube.Refused(403, "Forbidden", "no"), "cluster-refused"),
        (LabsError("odd"), "cluster-refused"),
        (KeyError("bug"), "check-failed"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_whatever_goes_wrong_becomes_could_not_check(
    check: Any, store: Progress, error: BaseException, diagnostic: str
) -> None:
    check(raising(error))
    verdict = verdict_of(store)
    assert (verdict.verdict, verdict.diagnostic) == ("could_not_check", diagnostic)
    assert "Traceback" not in str(verdict)
    assert store.record("zz-one").attempts == 0  # it says nothing about the learner


def test_a_hint_is_named_after_two_failures_and_the_solution_after_three_with_all_hints(
    check: Any, store: Progress
) -> None:
    check(wrong)
    assert verdict_of(store).advice == ""
    assert "lab.hint" in verdict_of(store).advice
    for _ in range(3):
        store.take_hint("zz-one", 3)
    verdict = verdict_of(store)
    assert "lab.solution" in verdict.advice
    assert verdict.hint_level == 3


def test_a_passed_exercise_that_fails_again_is_open_again(check: Any, store: Progress) -> None:
    check(lambda probe: passed("", ""))
    verdict_of(store)
    assert store.record("zz-one").last == "pass"
    check(wrong)
    verdict_of(store)
    record = store.record("zz-one")
    assert (record.last, record.attempts, record.failed_in_a_row) == ("not_yet", 2, 1)


def test_hints_go_up_one_rung_at_a_time_and_stay_on_the_last(store: Progress) -> None:
    assert [store.take_hint("zz-one", 3) for _ in range(5)] == [1, 2, 3, 3, 3]
    assert Progress(store.path).record("zz-one").hint_level == 3


def test_the_record_is_private(store: Progress) -> None:
    store.take_hint("zz-one", 3)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_a_record_that_cannot_be_written_does_not_hide_a_pass(check: Any, tmp_path: Path) -> None:
    check(lambda probe: passed("", ""))
    verdict = verdict_of(Progress(tmp_path / "missing" / "progress.sqlite"))
    assert verdict
    assert "could not be saved" in verdict.note


@pytest.mark.parametrize(
    ("expect", "answer", "raises"),
    [
        ("pass", wrong, True),
        ("notyet", wrong, False),
        ("notyet", raising(LabsError("x")), True),
        ("", wrong, False),
    ],
)
def test_an_environment_variable_turns_a_check_into_an_assertion(
    check: Any, store: Progress, monkeypatch: pytest.MonkeyPatch, expect: str, answer: Any, raises: bool
) -> None:
    check(answer)
    monkeypatch.setenv("LABS_EXPECT", expect)
    monkeypatch.setattr("labsupport.course.context.find_exercise", lambda identifier: (LAB, ONE))
    context = Context(answers={}, store=store).at(object(), LAB)  # type: ignore[arg-type]
    if raises:
        with pytest.raises(AssertionError, match="zz-one"):
            context.check("zz-one")
    else:
        assert context.check("zz-one").verdict.exercise == "zz-one"


def test_hints_name_the_namespace(store: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labsupport.course.context.find_exercise", lambda identifier: (LAB, ONE))
    context = Context(answers={}, store=store)
    assert context.hint("zz-one").text == "1. look in lab-zz"
    assert context.hint("zz-one").text.endswith("2. think")


def test_the_solution_stays_shut_until_it_is_earned(store: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labsupport.course.context.find_exercise", lambda identifier: (LAB, ONE))
    monkeypatch.setattr("labsupport.course.ladder.solution_of", lambda lab, exercise: "THE ANSWER")
    context = Context(answers={}, store=store)
    assert "THE ANSWER" not in str(context.solution("zz-one"))
    for _ in range(ladder.FAILURES_BEFORE_SOLUTION):
        store.add(engine.Verdict("zz-one", "not_yet", "", "", "", "d"))
    assert "THE ANSWER" in str(context.solution("zz-one"))
