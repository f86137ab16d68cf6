"""Latencies by size: how many fell between which two bounds, and the quantiles that follow from that.

Bounds are those of the R20 series (ISO 3: twenty to a factor of ten), from 0.1 ms to 100 s, so that a quantile is wrong
by 6 % at most. Those of Prometheus are every few of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial

_R20 = (100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900)
# In microseconds. What is above the last one has an index of its own, len(BOUNDS).
BOUNDS = (*(each * 10**power for power in range(6) for each in _R20), 100_000_000)
SHOWN = tuple(BOUNDS.index(each * 10**power) for power in range(6) for each in (100, 250, 500))

Histogram = Mapping[int, int]  # index of a bound -> how many were at most that, and above the one before


def index(microseconds: int) -> int:
    """Where a latency belongs."""
    return bisect_left(BOUNDS, microseconds)


def tally(spans: Iterable[int]) -> Histogram:
    """Where many latencies belong, in microseconds."""
    return Counter(map(partial(bisect_left, BOUNDS), spans))


def quantile(histogram: Histogram, share: float) -> float | None:
    """The latency in ms that this share is not above, evenly spread between two bounds; None of nothing."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, below = share * total, 0
    for each in sorted(histogram):
        count = histogram[each]
        if below + count >= wanted:
            low, high = _range(each)
            return round((low + (high - low) * (wanted - below) / count) / 1000, 3)
        below += count
    return float(BOUNDS[-1]) / 1000  # reached only by a rounding of `wanted`


def _range(at: int) -> tuple[int, int]:
    last = len(BOUNDS) - 1
    return (BOUNDS[at - 1] if at else 0), BOUNDS[min(at, last)]
