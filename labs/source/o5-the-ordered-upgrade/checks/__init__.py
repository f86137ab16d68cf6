"""The checks of lab O5. Orders and gates are tried on generated histories first; then the deployed ones lead upgrades
of the lab's Quorum, under a client's writes.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .gate import gate_live, gate_offline
from .jump import jump
from .order import order_live, order_offline
from .restore import restore

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o5-jump": jump,
    "o5-order": order_live,
    "o5-gate": gate_live,
    "o5-restore": restore,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "o5-order": order_offline,
    "o5-gate": gate_offline,
}
