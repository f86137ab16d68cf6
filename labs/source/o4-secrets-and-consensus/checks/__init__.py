"""The checks of lab O4. Functions are run on generated dealers and on generated failovers first; then the leader of the
lab's own Quorum is killed while somebody writes.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .ceremony import ceremony
from .cheat import cheat
from .failover import failover_live, failover_offline
from .sets import sets

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o4-failover": failover_live,
    "o4-cheat": cheat,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "o4-ceremony": ceremony,
    "o4-sets": sets,
    "o4-failover": failover_offline,
}
