"""Distributions side by side."""

from __future__ import annotations

import re

import pytest

from labsupport.draw.ecdf import ecdf, quantile, table

FAST = [[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 8.0]]
SLOW = [[value + 0.5 for value in each] for each in FAST]


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (25, 1), (26, 2), (50, 2), (75, 3), (99, 4), (100, 4)]
)
def test_a_quantile_is_one_of_the_values(percent: float, expected: float) -> None:
    assert quantile([4, 2, 1, 3], percent) == expected


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 50)


def test_the_table_has_the_spread_of_rounds_and_the_differences() -> None:
    head, fast, slow, more = table({"fast": FAST, "slow": SLOW}, "ms")
    assert head[1:] == ("p50 (ms)", "p90 (ms)", "p99 (ms)")
    assert fast == ("fast", "2.00 (2.00 to 2.00)", "8.00 (4.00 to 8.00)", "8.00 (4.00 to 8.00)")
    assert slow[1] == "2.50 (2.50 to 2.50)"
    assert more == ("slow, more", *["+0.50 (+0.50 to +0.50)"] * 3)


def test_curves_rise_and_rounds_stand_behind_them() -> None:
    picture = ecdf({"fast": FAST, "slow": SLOW}, title="Speed", unit="ms")
    curves = re.findall(r'<polyline points="([^"]*)"', picture.svg)
    assert len(curves) == 2 * (2 + 1)
    for curve in curves:
        points = [tuple(map(float, point.split(","))) for point in curve.split()]
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))
    assert "stroke-dasharray:7 4" in picture.svg  # told apart without colours
    assert "fast | 2.00" in picture.text


def test_the_slowest_are_counted_where_they_are_not_drawn() -> None:
    values = [1.0] * 999 + [500.0]
    picture = ecdf({"all": [values]}, title="Speed", unit="ms")
    assert "1 of 1000 all took longer than 1 ms, up to 500" in picture.text


def test_nothing_measured() -> None:
    assert ecdf({"none": [[]]}, title="Speed", unit="ms").text == "Speed: nothing."
