"""The checks of lab M2. They send requests through the proxy, and ask Envoy itself what it has in force."""

from __future__ import annotations

from collections.abc import Callable

from labsupport.course.exercise import Outcome, Probe

from .discovery import discovery, discovery_offline
from .find import find
from .latency import latency
from .match import match
from .refused import refused
from .static import static

CHECKS: dict[str, Callable[[Probe], Outcome]] = {
    "m2-static": static,
    "m2-match": match,
    "m2-discovery": discovery,
    "m2-refused": refused,
    "m2-latency": latency,
    "m2-find": find,
}
OFFLINE: dict[str, Callable[[Probe], Outcome]] = {"m2-discovery": discovery_offline}
