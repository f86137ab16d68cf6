"""The checks of lab M1. They read kube-proxy's rules and the objects behind them, rehearse the learner's functions on
scripts that the notebook does not show, and buy tea.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .outside import outside
from .pinned import pinned
from .retry import retry, retry_offline
from .rules import rules_
from .tls import tls, tls_offline

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m1-rules": rules_,
    "m1-pinned": pinned,
    "m1-outside": outside,
    "m1-retry": retry,
    "m1-tls": tls,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"m1-retry": retry_offline, "m1-tls": tls_offline}
