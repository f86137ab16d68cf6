"""Lab M7's statistical checks: each decides by a pure function of counts, and chance leads it astray at most once in
10,000 times, either way. By the exact binomial, and by 10,000 samples of each.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest

from labsupport.course.exercise import checks_of
from labsupport.course.manifest import find_lab

SAMPLES, MOST = 10_000, 1e-4


def checks(module: str) -> Any:
    """A module of the lab's checks."""
    checks_of(find_lab("m7"))
    return sys.modules[f"labs_checks_m7.{module}"]


def binomial(total: int, share: float) -> list[float]:
    """The probabilities of 0 to `total` successes."""
    return [math.exp(_log(total, count, share)) for count in range(total + 1)]


def _log(total: int, count: int, share: float) -> float:
    ways = math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
    return ways + count * math.log(share) + (total - count) * math.log1p(-share)


split, canary, outlier, timeout = checks("split"), checks("canary"), checks("outlier"), checks("timeout")


def as_wanted(count: int) -> bool:
    """m7-split: whether a count of customers is taken for right."""
    return bool(split.told(split.TESTS, count) == "")


def all_tests(count: int) -> bool:
    """m7-split: whether a count of testers is taken for right."""
    return bool(split.told(count, round(split.REQUESTS * split.SHARE)) == "")


def unnoticed(count: int) -> bool:
    """m7-outlier: whether so many failed requests are few."""
    return bool(outlier.told(count, 0) == "")


def spared(count: int) -> bool:
    """m7-outlier: whether the broken Pod is hardly asked."""
    return bool(outlier.told(0, count) == "")


def again(count: int) -> bool:
    """m7-timeout: whether so many failed requests are what is left when each is made again."""
    seen = timeout.Rounds(timeout.PATIENT, (timeout.WHOLE,) * timeout.ALL_HANG, count, (timeout.TRY,))
    return bool(timeout.told(seen) == "")


@pytest.mark.parametrize(
    ("total", "share", "accepted", "right"),
    [
        pytest.param(split.REQUESTS, split.SHARE, as_wanted, True, id="split: one in ten"),
        *(
            pytest.param(split.REQUESTS, share, as_wanted, False, id=f"split: {share:.0%}")
            for share in split.NEAREST
        ),
        pytest.param(split.TESTS, split.NEAREST_TESTS, all_tests, False, id="split: nine in ten testers"),
        pytest.param(canary.RUNS, 0.001, canary.bad_luck, True, id="canary: once in a thousand"),
        pytest.param(canary.RUNS, canary.NEAREST, canary.bad_luck, False, id="canary: nearest"),
        pytest.param(timeout.ONE_HANGS, 1 / 3, again, False, id="timeout: one try"),
        # A third meets the Pod; of these, twice all four choices of another Pod (translate/envoy.py) fall on it again.
        pytest.param(timeout.ONE_HANGS, (1 / 3) ** 9, again, True, id="timeout: three tries"),
        pytest.param(outlier.REQUESTS, 1 / 3, unnoticed, False, id="outlier: nothing done"),
        pytest.param(outlier.REQUESTS, 1 / 3, spared, False, id="outlier: retries alone"),
    ],
)
def test_chance_leads_a_judgement_astray_hardly_ever(
    total: int, share: float, accepted: Callable[[int], bool], right: bool
) -> None:
    chances = binomial(total, share)
    assert sum(chances) == pytest.approx(1)
    errs = [accepted(count) != right for count in range(total + 1)]
    assert sum(chance for chance, err in zip(chances, errs, strict=True) if err) <= MOST
    drawn = random.Random(20261130).choices(range(total + 1), chances, k=SAMPLES)
    assert sum(errs[count] for count in drawn) <= SAMPLES * MOST


def test_all_testers_and_the_errors_of_a_busy_machine_are_right() -> None:
    assert all_tests(split.TESTS)  # no chance in it
    assert outlier.told(71, 71) == ""  # seen with a load of 28 on two processors; 10 to 30 are usual


def test_the_tail_that_bounds_are_made_of_is_exact() -> None:
    chance = checks("chance")
    low, high = chance.bounds(split.REQUESTS, split.SHARE)
    inside = sum(binomial(split.REQUESTS, split.SHARE)[low : high + 1])
    assert chance.tail(split.REQUESTS, split.SHARE, low, high) == pytest.approx(1 - inside, abs=1e-9)
    assert 1 - inside <= chance.ALPHA < chance.tail(split.REQUESTS, split.SHARE, low + 1, high - 1)


@pytest.mark.parametrize(
    ("answered", "all_hang", "one_hangs", "finding"),
    [
        (6, (1001, 1400, 1003, 1002), (4, 5, 312, 305, 6, 1001), ""),
        (6, (925, 980, 1001, 990), (4, 331), ""),  # three tries fill the second, nearly
        (6, (1002, 1002, 1002, 1002), (4, 5), ""),  # nobody met it: it is avoided otherwise
        (0, (), (), "impatient"),
        (6, (1190, 1225, 1380, 1270), (), "waits"),  # four tries of 300 ms, and no limit of the whole
        (6, (612, 601, 720, 640), (), "gives-up"),  # two tries
        (6, (1001, 1002, 1004, 1001), (4, 5, 912, 905), "holds-on"),
    ],
)
def test_waits_are_judged_by_what_a_busy_machine_cannot_change(
    answered: int, all_hang: tuple[float, ...], one_hangs: tuple[float, ...], finding: str
) -> None:
    seen = timeout.Rounds(answered, all_hang or (timeout.WHOLE,), 0, one_hangs)
    assert timeout.told(seen) == finding
