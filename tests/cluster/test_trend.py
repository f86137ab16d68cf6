"""What a line through readings says, and what is called growth."""

from __future__ import annotations

import random

import pytest

from labsupport.cluster.trend import trend

MINUTES = [60.0 * number for number in range(20)]


def test_a_line_has_its_slope_and_no_error() -> None:
    found = trend(MINUTES, [100 + moment / 60 for moment in MINUTES])
    assert found.per_hour == pytest.approx(60)
    assert found.error == pytest.approx(0, abs=1e-6)
    assert (found.first, found.last) == (100, 119)
    assert found.growth == pytest.approx(19)
    assert found.grows


def test_what_stays_does_not_grow() -> None:
    found = trend(MINUTES, [42.0] * 20)
    assert (found.per_hour, found.error, found.grows) == (0, 0, False)


def test_noise_is_no_growth() -> None:
    chance = random.Random(1)
    grown = [trend(MINUTES, [100 + chance.gauss(0, 20) for _ in MINUTES]).grows for _ in range(200)]
    assert sum(grown) <= 4  # 3 standard errors, on one side


def test_a_leak_within_noise_is_growth() -> None:
    chance = random.Random(2)
    assert trend(MINUTES, [100 + moment / 30 + chance.gauss(0, 5) for moment in MINUTES]).grows


def test_less_than_a_twentieth_is_no_growth_however_sure() -> None:
    assert not trend(MINUTES, [1000 + moment / 60 for moment in MINUTES]).grows


def test_less_than_one_is_no_growth() -> None:
    assert not trend(MINUTES, [1 + moment / 3600 for moment in MINUTES]).grows


def test_two_readings_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        trend([0, 1], [1, 2])
