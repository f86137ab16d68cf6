"""Predictions: read with patience, kept, changeable until the result was shown, and never lost by a slip."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from labsupport.course.manifest import Exercise, Prediction
from labsupport.course.prediction import Unusable, commit, read, words
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict

CHOICE = Prediction(options=("the old Pods", "2", "Nobody at all"))
NUMBER = Prediction(unit="ms")


def exercise(asked: Prediction | None) -> Exercise:
    return Exercise(
        id="zz-p",
        title="P",
        form="predict",
        minutes=1,
        expected="a prediction",
        hints=("a", "b", "c"),
        explanation="because",
        predict=asked,
    )


@pytest.fixture
def store(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress.sqlite")


@pytest.mark.parametrize(
    ("asked", "given", "value"),
    [
        (CHOICE, "the old Pods", "the old Pods"),
        (CHOICE, "  THE old\n pods ", "the old Pods"),
        (CHOICE, 2, "2"),
        (NUMBER, 3, 3.0),
        (NUMBER, "1.5 ms", 1.5),
        (NUMBER, "20MS", 20.0),
        (NUMBER, " 1e3 ", 1000.0),
        (NUMBER, Decimal("0.5"), 0.5),
    ],
)
def test_it_is_read_with_patience(asked: Prediction, given: object, value: object) -> None:
    assert read(asked, given) == value


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (CHOICE, "old"),
        (CHOICE, None),
        (CHOICE, ...),
        (CHOICE, ["the old Pods"]),
        (NUMBER, "3 s"),
        (NUMBER, "soon"),
        (NUMBER, True),
        (NUMBER, float("nan")),
        (NUMBER, 10**400),
        (NUMBER, ...),
    ],
)
def test_anything_else_is_refused_with_what_is_wanted(
    asked: Prediction, given: object, store: Progress
) -> None:
    with pytest.raises(Unusable, match=r"Nobody at all|a number \(ms\)"):
        read(asked, given)
    result = commit(exercise(asked), given, store)
    assert not result.committed
    assert store.prediction("zz-p") is None


def test_it_may_be_changed_until_the_check_has_shown_the_result(store: Progress) -> None:
    number = exercise(NUMBER)
    assert commit(number, 3, store).committed
    assert commit(number, 4, store).committed
    slip = commit(number, "four", store)
    assert "`4 ms` stays committed" in slip.note.text
    store.add(Verdict("zz-p", "not_yet", "", "", "", "zz-p/not-there"))
    assert commit(number, 5, store).committed
    store.add(Verdict("zz-p", "pass", "", "", "", "ok"))
    late = commit(number, 6, store)
    assert not late.committed
    assert late.value == store.prediction("zz-p") == 5.0
    assert "`5 ms` stays committed" in late.note.text


def test_a_new_start_of_the_lab_opens_it_again(store: Progress) -> None:
    commit(exercise(NUMBER), 3, store)
    store.predict("other", "x")
    store.add(Verdict("zz-p", "pass", "", "", "", "ok"))
    store.forget_predictions(["zz-p"])
    assert store.prediction("zz-p") is None
    assert store.prediction("other") == "x"
    assert commit(exercise(NUMBER), 6, store).committed


def test_an_exercise_without_predictions_says_so(store: Progress) -> None:
    assert "asks for no prediction" in commit(exercise(None), 3, store).note.text


def test_it_is_said_back_with_its_unit() -> None:
    assert words(NUMBER, 1500000.0) == "1500000 ms"
    assert words(Prediction(options=("a", "b")), "a") == "a"
    assert words(Prediction(unit="requests"), 0.25) == "0.25 requests"
