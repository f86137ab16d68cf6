"""The checks of lab M6: they call as everybody, and see who is let through."""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .allow import allow
from .audit import audit
from .holes import holes
from .platform import platform
from .stale import stale

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m6-holes": holes,
    "m6-platform": platform,
    "m6-allow": allow,
    "m6-audit": audit,
    "m6-stale": stale,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {}
