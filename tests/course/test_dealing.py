"""Generated deals: every way to cheat comes up, a right answer passes, and each kind of mistake is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labsupport.course.lessons.dealing import CHEATS, Dealt, received, run_received
from labsupport.quorum.keys.group import IDENTITY, ZERO, base
from labsupport.quorum.keys.polynomial import commitment_at

SEEDS = range(36)  # those of the exercise's check
Deals = dict[int, Dealt | None]


def receive(me: int, threshold: int, dealt: Deals) -> tuple[Any, ...]:
    """A right answer."""
    return adding(me, threshold, dealt, lambda deal: len(deal.commitment) == threshold)


def adding(me: int, threshold: int, dealt: Deals, fits: Callable[[Dealt], bool]) -> tuple[Any, ...]:
    wrong, share, public = [], ZERO, IDENTITY
    for dealer, deal in dealt.items():
        if deal and fits(deal) and base(deal.share) == commitment_at(deal.commitment, me):
            share, public = share + deal.share, public + deal.commitment[0]
        else:
            wrong.append(dealer)
    return wrong, share, public


def any_length(me: int, threshold: int, dealt: Deals) -> tuple[Any, ...]:
    return adding(me, threshold, dealt, lambda deal: True)


def of_itself(me: int, threshold: int, dealt: Deals) -> tuple[Any, ...]:
    named, share, _ = receive(me, threshold, dealt)
    return named, share, base(share)


def no_share(me: int, threshold: int, dealt: Deals) -> tuple[Any, ...]:
    named, _, public = receive(me, threshold, dealt)
    return named, ZERO, public


def test_every_way_to_cheat_comes_up_and_a_right_answer_passes() -> None:
    ways = {way for seed in SEEDS for way in received(seed).ways.values()}
    assert set(CHEATS) < ways
    assert run_received(receive, SEEDS) is None


def test_a_seed_always_gives_the_same() -> None:
    one, two = received(5), received(5)
    assert (one.me, one.threshold, one.ways) == (two.me, two.threshold, two.ways)
    first = one.right[0].share
    assert first == two.right[0].share


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda *_: None, "no-answer"),
        (lambda *_: ("123", ZERO, IDENTITY), "no-answer"),
        (lambda me, threshold, dealt: ([*dealt], ZERO, IDENTITY), "honest-blamed"),
        (any_length, "length"),
        (no_share, "share"),
        (of_itself, "public"),
    ],
)
def test_mistakes_are_told_apart(answer: Callable[..., Any], problem: str) -> None:
    found = run_received(answer, SEEDS)
    assert found is not None
    assert found.problem == problem
