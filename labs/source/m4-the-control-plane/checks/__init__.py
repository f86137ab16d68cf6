"""The checks of lab M4. Functions are tried on objects that nobody has seen; then the control plane that was made of
them is given objects of the check's own, and requests are sent through the proxy.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .away import away
from .change import change
from .nack import nack
from .order import order_live, order_offline
from .snapshot import snapshot_live, snapshot_offline

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m4-snapshot": snapshot_live,
    "m4-change": change,
    "m4-order": order_live,
    "m4-away": away,
    "m4-nack": nack,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "m4-snapshot": snapshot_offline,
    "m4-order": order_offline,
}
