"""The checks of lab M5. They decide on requests that the notebook does not show, read along on the wire, and see who is
answered.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .issue import issue, issue_offline
from .revoke import revoke
from .rotate import rotate
from .strict import strict
from .untls import untls
from .wire import wire

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m5-issue": issue,
    "m5-strict": strict,
    "m5-wire": wire,
    "m5-rotate": rotate,
    "m5-revoke": revoke,
    "m5-untls": untls,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"m5-issue": issue_offline}
