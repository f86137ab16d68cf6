"""The queue between events and reconciles: it holds names, not events, and each name at most once.

That is what makes a controller level-triggered. However many events concern an object while it waits, one reconcile
follows, and it looks at the object as it is then. A name that is added while its reconcile runs waits until that one
has ended, so that no two work on the same object. The rules are those of client-go's workqueue
(https://pkg.go.dev/k8s.io/client-go/util/workqueue).
"""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass

FIRST_DELAY = 0.05  # seconds before a failed name is tried again; doubled with each failure
LAST_DELAY = 5.0


@dataclass(frozen=True)
class Taken:
    """A name taken from the queue: how many events were collapsed into it, and when the first of them came."""

    name: str
    events: int
    since: float


class WorkQueue:
    """Names to work on. Safe for several threads; times are those of `time.time()`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[
            str, tuple[int, float]
        ] = {}  # in the order of arrival; events so far, time of the first
        self._running: set[str] = set()
        self._later: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}
        self._closed = False

    def add(self, name: str) -> bool:
        """Note that `name` needs a look; False if it was waiting already, so that this event costs nothing more."""
        with self._changed:
            return self._add(name)

    def _add(self, name: str) -> bool:
        events, since = self._waiting.get(name, (0, time.time()))
        self._waiting[name] = (events + 1, since)
        self._changed.notify()
        return events == 0

    def take(self) -> Taken | None:
        """Wait for a name on which nobody works, and take it; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                now = time.time()
                while self._later and self._later[0][0] <= now:
                    self._add(heapq.heappop(self._later)[1])
                for name in self._waiting:
                    if name not in self._running:
                        self._running.add(name)
                        events, since = self._waiting.pop(name)
                        return Taken(name, events, since)
                self._changed.wait(self._later[0][0] - now if self._later else None)
        return None

    def done(self, name: str, *, failed: bool = False) -> float:
        """The work on `name` has ended. After a failure it comes back by itself; returns in how many seconds."""
        with self._changed:
            self._running.discard(name)
            delay = 0.0
            if failed:
                failures = self._failures[name] = self._failures.get(name, 0) + 1
                delay = min(LAST_DELAY, FIRST_DELAY * 2 ** (failures - 1))
                heapq.heappush(self._later, (time.time() + delay, name))
            else:
                self._failures.pop(name, None)
            self._changed.notify_all()
            return delay

    def close(self) -> None:
        """Let every `take` return None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
