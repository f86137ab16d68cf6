"""Whether a figure that was read again and again grows: a straight line through the readings, and what it means."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SURE = 3.0  # standard errors by which a slope must differ from none
SHARE = 0.05  # of the mean: less growth than that over the readings is nothing that a longer run would notice
HOUR = 3600.0


@dataclass(frozen=True)
class Trend:
    """A line through readings: its slope with its standard error (units an hour), its growth from the first reading
    to the last, and the readings' first, last and mean.
    """

    per_hour: float
    error: float
    growth: float
    first: float
    last: float
    mean: float

    @property
    def grows(self) -> bool:
        """Whether the growth is more than chance (SURE), more than a little (SHARE), and at least one whole unit."""
        sure = self.per_hour > SURE * self.error
        return sure and self.growth >= max(1.0, SHARE * self.mean)


def trend(seconds: Sequence[float], readings: Sequence[float]) -> Trend:
    """The least-squares line through three or more `readings`, each at its time in `seconds`.

    Errors: ValueError with fewer readings, since their slope has no error that could be told.
    """
    count = len(readings)
    if count < 3:
        raise ValueError(f"a trend takes at least 3 readings, not {count}")
    slope, intercept = statistics.linear_regression(seconds, readings)
    middle = statistics.fmean(seconds)
    spread = sum((moment - middle) ** 2 for moment in seconds)
    residual = sum(
        (value - intercept - slope * moment) ** 2 for moment, value in zip(seconds, readings, strict=True)
    )
    error = math.sqrt(residual / (count - 2) / spread)
    return Trend(
        per_hour=slope * HOUR,
        error=error * HOUR,
        growth=slope * (seconds[-1] - seconds[0]),
        first=readings[0],
        last=readings[-1],
        mean=statistics.fmean(readings),
    )
