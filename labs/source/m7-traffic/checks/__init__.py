"""The checks of lab M7: they send requests and count, and decide by what chance allows."""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .balance import balance
from .canary import canary, canary_offline
from .outlier import outlier
from .retries import retries
from .split import split
from .timeout import timeout

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m7-split": split,
    "m7-canary": canary,
    "m7-balance": balance,
    "m7-retries": retries,
    "m7-timeout": timeout,
    "m7-outlier": outlier,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"m7-canary": canary_offline}
