"""The checks of lab O3. Handlers are called on generated states first, as kopf would call them; then the deployed
operators have Flocks of the check's own to look after, and are switched off or killed at the worst moment.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .errors import errors
from .finalizer import finalizer_live, finalizer_offline
from .handlers import handlers_live, handlers_offline
from .lease import lease_live, lease_offline
from .rbac import rbac

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "o3-handlers": handlers_live,
    "o3-finalizer": finalizer_live,
    "o3-errors": errors,
    "o3-rbac": rbac,
    "o3-lease": lease_live,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "o3-handlers": handlers_offline,
    "o3-finalizer": finalizer_offline,
    "o3-lease": lease_offline,
}
