"""The checks of lab O1. They send requests with Sites that the notebook does not show, nearly all as dry runs, and look
at what the server makes of them.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .convert import convert_live, convert_offline
from .prune import prune
from .rules import rules
from .schema import schema
from .subresources import subresources

OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"o1-convert": convert_offline}
CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o1-schema": schema,
    "o1-prune": prune,
    "o1-rules": rules,
    "o1-subresources": subresources,
    "o1-convert": convert_live,
}
