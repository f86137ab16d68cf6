"""What a load showed, in words and numbers."""

from __future__ import annotations

import pytest

from labsupport.course.lessons.traffic import Load, percentile

RESULT = {
    "url": "http://web/",
    "requests": 4,
    "ok": 3,
    "by_pod": {"web-1": 3},
    "by_status": {"200": 3},
    "errors": {"connection refused": 1},
    "opened": 2,
    "by_connection": [{"web-1": 3}, {}],
    "latency_ms": [1.0, 2.0, 3.0, 10.0],
}


def test_a_load_says_who_answered_and_what_failed() -> None:
    load = Load(RESULT)
    assert load.busiest == 1
    words = str(load)
    assert "3 with status 200, 1 connection refused; 2 connections opened" in words
    assert "web-1" in words
    assert "<table" in load._repr_html_()


def test_percentiles_lie_between_neighbours() -> None:
    assert percentile([], 50) == 0
    assert percentile([7.0], 99) == 7
    assert percentile([1.0, 2.0, 3.0], 50) == 2
    assert percentile([0.0, 100.0], 90) == pytest.approx(90)
