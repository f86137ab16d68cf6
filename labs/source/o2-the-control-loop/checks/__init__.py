"""The checks of lab O2. Functions are run on generated histories and states first, then on the real API server; the
deployed controllers are attacked, with objects of the check's own.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .conflict import conflict_live, conflict_offline
from .level import level
from .owners import owners
from .reconcile import reconcile_live, reconcile_offline
from .resync import resync
from .watch import watch_live, watch_offline

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o2-watch": watch_live,
    "o2-level": level,
    "o2-owners": owners,
    "o2-reconcile": reconcile_live,
    "o2-conflict": conflict_live,
    "o2-resync": resync,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "o2-watch": watch_offline,
    "o2-reconcile": reconcile_offline,
    "o2-conflict": conflict_offline,
}
