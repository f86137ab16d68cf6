"""Generated failovers: a right answer passes in all of them, and each neglected rule is found out by its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labsupport.course.lessons.failovers import FRESH, KINDS, run_failovers, situation
from labsupport.course.lessons.fronts import AFTER, Story, how
from labsupport.operators.failover import answer
from labsupport.operators.member_answer import Answer

SEEDS = range(6 * len(KINDS))  # those of the exercise's check
Said = list[Answer]


def newest(answers: Said, elected: Callable[[Answer], bool] = lambda each: bool(each.leader)) -> int:
    return max((each.term for each in answers if elected(each)), default=0)


def choose(answers: Said, term: int, fits: Callable[[Answer], bool]) -> str | None:
    leading = (each.name for each in answers if each.role == "leader" and each.term == term and fits(each))
    return next(leading, None)


def good(each: Answer) -> bool:
    return each.age <= FRESH and each.reaches * 2 > each.voters


def leads(answers: Said) -> str | None:
    """A right answer."""
    return choose(answers, newest(answers), good)


def own_words(answers: Said) -> str | None:
    return choose(answers, newest(answers, lambda each: each.role == "leader"), good)


def candidates_count(answers: Said) -> str | None:
    return choose(answers, newest(answers, lambda each: True), good)


def without_the_old(answers: Said) -> str | None:
    return leads([each for each in answers if each.age <= FRESH])


def any_majority(answers: Said) -> str | None:
    return choose(answers, newest(answers), lambda each: each.age <= FRESH)


def half(answers: Said) -> str | None:
    return choose(
        answers, newest(answers), lambda each: each.age <= FRESH and each.reaches * 2 >= each.voters
    )


def for_ever(answers: Said) -> str | None:
    return choose(answers, newest(answers), lambda each: each.reaches * 2 > each.voters)


def by_hearsay(answers: Said) -> str | None:
    return max(answers, key=lambda each: each.term).leader or None if answers else None


def test_a_right_answer_passes_and_seeds_are_stable() -> None:
    assert run_failovers(leads, SEEDS) is None
    assert [situation(seed) for seed in SEEDS] == [situation(seed) for seed in SEEDS]
    rights = [situation(seed).right for seed in SEEDS]
    assert 0.3 < sum(each is None for each in rights) / len(rights) < 0.7  # neither answer is right by habit


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (lambda answers: 7, "no-name"),
        (lambda answers: None, "nobody"),
        (lambda answers: "q-99", "unknown"),
        (own_words, "deposed"),
        (candidates_count, "nobody"),
        (without_the_old, "deposed"),
        (any_majority, "minority"),
        (half, "minority"),
        (for_ever, "stale"),
        (by_hearsay, "deposed"),
    ],
)
def test_each_neglected_rule_is_found_out(wrong: Callable[[Said], object], problem: str) -> None:
    found = run_failovers(wrong, SEEDS)
    assert found is not None
    assert found.problem == problem


def test_a_members_status_becomes_an_answer() -> None:
    voters = [{"reachable": True}, {"reachable": True}, {"reachable": False}]
    said = {"name": "q-1", "phase": "member", "role": "leader", "term": 4, "voters": voters}
    leader = {"id": "1f", "name": "q-1"}
    assert answer({**said, "leader": leader}, 0.5) == Answer("q-1", 0.5, "leader", 4, "q-1", 3, 2)
    assert answer({**said, "leader": None, "phase": "removed"}, 0.5).role == "none"
    assert answer({**said, "leader": None}, 0.5).leader == ""


def test_a_story_of_writes() -> None:
    def written(at: float, by: str) -> dict[str, object]:
        return {"at": at, "key": 1, "status": 200, "by": by}

    refused = {"at": 1.2, "key": 1, "status": 0, "by": ""}
    before = [written(each / 10, "q-0") for each in range(10)]
    after = [written(3 + each / 10, "q-1") for each in range(AFTER)]
    story = Story([*before, refused, *after], "q-0", 1.0)
    assert story.went_on
    assert story.gap == pytest.approx(2.1)
    assert not Story([*before, refused], "q-0", 1.0).went_on
    assert not Story([*before, refused, *after]).went_on
    assert how([refused, *after]) == "reached nobody, written by q-1"
    assert how([]) == "there was no attempt"
