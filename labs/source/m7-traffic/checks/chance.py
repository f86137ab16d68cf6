"""What chance allows: a judgement is a pure function of counts, wrong at most once in 10,000 times either way."""

from __future__ import annotations

import functools
import math

ALPHA = 1e-5  # how often a right answer is taken for a wrong one, both sides together


def tail(total: int, share: float, low: int, high: int) -> float:
    """The probability that of `total` draws with `share` fewer than `low` or more than `high` succeed (binomial)."""
    if share in (0.0, 1.0):
        certain = round(total * share)
        return 0.0 if low <= certain <= high else 1.0
    logs = (math.log(share), math.log1p(-share))
    inside = sum(
        math.exp(
            math.lgamma(total + 1)
            - math.lgamma(count + 1)
            - math.lgamma(total - count + 1)
            + count * logs[0]
            + (total - count) * logs[1]
        )
        for count in range(low, high + 1)
    )
    return max(0.0, 1.0 - inside)


@functools.cache
def bounds(total: int, share: float) -> tuple[int, int]:
    """The narrowest counts around the expected one that a right answer leaves at most with ALPHA."""
    middle = round(total * share)
    width = 0
    while tail(total, share, max(0, middle - width), min(total, middle + width)) > ALPHA:
        width += 1
    return max(0, middle - width), min(total, middle + width)


def fits(total: int, count: int, share: float) -> bool:
    """Whether `count` of `total` is what a share of `share` gives, but for chance."""
    low, high = bounds(total, share)
    return low <= count <= high
