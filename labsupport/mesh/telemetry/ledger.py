"""The counts of all edges: since the start, and in buckets of some seconds for what happens now.

To be written in one event loop; what only reads may do so in another thread. What is kept grows with the edges that
there are, not with requests: 1,000 edges that are never quiet take some 30 MB.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from labsupport.mesh.telemetry.counts import Counts, Edge

BUCKET = 5  # seconds
KEPT = 300  # seconds, the longest window
MAX_OPEN = 100_000  # of what lasts; what is more is counted when it ends
MAX_EDGES = 20_000  # further ones are counted as lost: a mistake somewhere must not use up the memory
# Seconds after which a proxy tells of a request or a connection that still lasts, and again and again.
PERIOD = 5
FEW = 1_000  # of what lasts: from then on it is looked for what has been forgotten
FORGET = 3 * PERIOD + 1  # seconds without a word, after which it is taken for ended with its proxy


@dataclass(slots=True)
class Open:
    """A request or a connection that lasts, as it was told of last."""

    edge: Edge
    at: float
    bytes_out: int = 0
    bytes_in: int = 0


@dataclass(slots=True)
class History:
    """An edge's counts."""

    total: Counts = field(default_factory=Counts)
    recent: deque[tuple[int, Counts]] = field(default_factory=deque)  # by the number of the bucket


class Ledger:
    """All edges."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now  # seconds since the epoch
        self.since = now()
        self.edges: dict[Edge, History] = {}
        self.open: dict[str, Open] = {}  # by the id that the proxy gave it
        self._full = FEW
        self.entries = 0  # that were counted
        self.lost = 0  # that were received, and could not be read or counted

    def add(self, edge: Edge, counts: Counts) -> None:
        """Something has happened at an edge, just now."""
        history = self.edges.get(edge)
        if history is None:
            if len(self.edges) >= MAX_EDGES:
                self.lost += counts.requests + counts.connections
                return
            history = self.edges[edge] = History()
        history.total.add(counts)
        number = int(self.now() // BUCKET)
        recent = history.recent
        if not recent or recent[-1][0] != number:
            while recent and recent[0][0] < number - KEPT // BUCKET:
                recent.popleft()
            recent.append((number, Counts()))
        recent[-1][1].add(counts)

    def lasting(self, key: str, edge: Edge, bytes_out: int = 0, bytes_in: int = 0) -> None:
        """Something at an edge lasts, and has moved so many bytes since it began."""
        if len(self.open) >= MAX_OPEN or (edge not in self.edges and len(self.edges) >= MAX_EDGES):
            return
        self.add(edge, self._moved(key, bytes_out, bytes_in))
        self.open[key] = Open(edge, self.now(), bytes_out, bytes_in)
        if len(self.open) >= self._full:
            self.forget()
            self._full = 2 * len(self.open) + FEW

    def ended(self, key: str, bytes_out: int = 0, bytes_in: int = 0) -> tuple[bool, Counts]:
        """Something has ended: whether it was told of before, and the bytes since then, to be counted."""
        counts = self._moved(key, bytes_out, bytes_in)
        return self.open.pop(key, None) is not None, counts

    def _moved(self, key: str, bytes_out: int, bytes_in: int) -> Counts:
        before = self.open.get(key)
        if before is None:
            return Counts(bytes_out=bytes_out, bytes_in=bytes_in)
        return Counts(bytes_out=bytes_out - before.bytes_out, bytes_in=bytes_in - before.bytes_in)

    def lasts(self) -> dict[Edge, int]:
        """How many requests and connections are told to last, by edge."""
        now, found = self.now(), dict[Edge, int]()
        for each in [*self.open.values()]:
            if now - each.at <= FORGET:
                found[each.edge] = found.get(each.edge, 0) + 1
        return found

    def forget(self) -> None:
        """Drop what was not heard of for so long that its proxy must be gone."""
        now = self.now()
        self.open = {key: each for key, each in self.open.items() if now - each.at <= FORGET}

    def window(self, seconds: float) -> tuple[float, Iterator[tuple[Edge, Counts]]]:
        """How many seconds back it really goes (to the start of a bucket), and what each edge had in them."""
        now = self.now()
        first = int((now - min(max(seconds, BUCKET), KEPT)) // BUCKET)
        covered = max(1.0, now - max(first * BUCKET, self.since))
        return covered, self._since(first)

    def _since(self, first: int) -> Iterator[tuple[Edge, Counts]]:
        for edge, history in [*self.edges.items()]:
            held = [counts for number, counts in [*history.recent] if number >= first]
            if held:
                found = Counts()
                for each in held:
                    found.add(each)
                yield edge, found
