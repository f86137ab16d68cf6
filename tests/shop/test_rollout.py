"""Rollouts without a cluster: what the function is told, what it may say, how they end."""

from __future__ import annotations

import random
from typing import Any

import pytest

from labsupport.shop import rollout
from labsupport.shop.rollout import Counts


def even(weight: int) -> tuple[Counts, Counts]:
    """A hundred requests, of which a hundredth of each share fails."""
    return Counts(100 - weight, (100 - weight) // 100), Counts(weight, weight // 100)


def test_counts_go_on_until_the_weight_changes() -> None:
    told: list[tuple[int, Counts, Counts]] = []
    say = iter([1, 50, 50, 100, 100])

    def decide(weight: int, stable: Counts, canary: Counts) -> int:
        told.append((weight, stable, canary))
        return next(say)

    made = rollout.roll_out(decide, even)
    assert told == [
        (1, Counts(99, 0), Counts(1, 0)),
        (1, Counts(198, 0), Counts(2, 0)),
        (50, Counts(50, 0), Counts(50, 0)),
        (50, Counts(100, 0), Counts(100, 0)),
        (100, Counts(0, 0), Counts(100, 1)),
    ]
    assert (made.ended, made.highest, made.harmed) == ("promoted", 100, 1)


def test_zero_withdraws() -> None:
    made = rollout.roll_out(lambda weight, stable, canary: 0 if weight == 30 else 30, even)
    assert (made.ended, made.highest, [each.said for each in made.looks]) == ("withdrawn", 30, [30, 0])


@pytest.mark.parametrize("said", [None, "30", 2.5, True, -1, 101])
def test_what_is_no_share_ends_it(said: Any) -> None:
    made = rollout.roll_out(lambda weight, stable, canary: said, even)
    assert made.ended == "unusable"
    assert repr(said) in made.why


def test_back_to_less_is_no_way() -> None:
    say = iter([10, 5])
    made = rollout.roll_out(lambda weight, stable, canary: next(say), even)
    assert (made.ended, "from 10 to 100" in made.why) == ("unusable", True)


def test_who_never_decides_is_told_so() -> None:
    made = rollout.roll_out(lambda weight, stable, canary: weight, even)
    assert (made.ended, len(made.looks)) == ("undecided", rollout.LOOKS)


def test_simulated_requests_follow_shares_and_rates() -> None:
    send = rollout.simulated(0.02, 0.5, 100_000, random.Random(7))
    stable, canary = send(10)
    assert stable.requests + canary.requests == 100_000
    assert abs(canary.requests - 10_000) < 500  # 5 standard deviations
    assert abs(stable.errors / stable.requests - 0.02) < 0.003
    assert abs(canary.errors / canary.requests - 0.5) < 0.03
