"""Figures as they are reported: a spread of values, and the machine that they come from."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from typing import Any


def spread(values: Sequence[float]) -> dict[str, float]:
    """Smallest, median, 90th and 99th percentile (by nearest rank) and largest of at least one value."""
    ordered = sorted(values)

    def rank(percent: float) -> float:
        return round(ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)], 3)

    return {"min": rank(0), "p50": rank(50), "p90": rank(90), "p99": rank(99), "max": rank(100)}


def machine() -> dict[str, Any]:
    """What the figures depend on. `load`: of one, five and fifteen minutes."""
    return {
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "root": os.geteuid() == 0,
        "load": [round(value, 2) for value in os.getloadavg()],
    }
