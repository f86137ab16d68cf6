"""The checks of lab M3. Functions are run on generated Pods and connections first; then the kernel, the API server and
the Pods themselves are asked.
"""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .capture import capture_live, capture_offline
from .closed import closed
from .inject import inject_live, inject_offline
from .outage import outage
from .probes import probes

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m3-capture": capture_live,
    "m3-closed": closed,
    "m3-inject": inject_live,
    "m3-probes": probes,
    "m3-outage": outage,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {
    "m3-capture": capture_offline,
    "m3-inject": inject_offline,
}
