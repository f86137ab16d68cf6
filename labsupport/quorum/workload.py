"""Clients that read and write without pause, and the history of what they saw: for `linearizability.check`.

Each client is a thread with a `client.Client` of its own. What each writes nobody else writes, so that a read shows
whose write it saw.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

from labsupport.quorum.client import Client, Conflict, Missing, Unavailable
from labsupport.quorum.linearizability import Kind, Operation

KEYS = 5


@dataclass
class Workload:
    """Runs until `operations` are done by all together, or `stop` is set."""

    connect: Callable[[], Client]
    clients: int = 5
    operations: int = 1_000
    seed: int = 0
    prefix: str = ""  # of keys: a history begins with keys that nobody has written
    pause: float = 0.0  # seconds between two operations of a client
    history: list[Operation] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> list[Operation]:
        """Everything; the history. Raises what a client raised that is no "not now"."""
        with ThreadPoolExecutor(self.clients) as pool:
            for each in [pool.submit(self._client, number) for number in range(self.clients)]:
                each.result()
        return self.history

    def _client(self, number: int) -> None:
        client, random = self.connect(), Random(f"{self.seed} {number}")
        try:
            for operation in _operations(client, number, random, self.prefix):
                self.history.append(operation)
                if len(self.history) >= self.operations or self.stop.wait(self.pause):
                    return
        finally:
            self.stop.set()  # one that ends by an error ends all


def _operations(client: Client, number: int, random: Random, prefix: str) -> Iterator[Operation]:
    """One client's operations, for ever."""
    seen: dict[str, tuple[bytes | None, int | None]] = {}
    count = 0
    while True:
        key = f"{prefix}k{random.randrange(KEYS)}"
        kind: Kind = random.choice(("get", "get", "put", "cas"))
        count += 1
        value = f"{number}.{count}".encode()
        called = time.monotonic()
        try:
            if kind == "get":
                client.turn()  # whoever is asked, the answer must be the same
                try:
                    read = client.get(key)
                    value, revision = read.value, read.revision
                    seen[key] = value, revision
                    yield Operation(number, key, kind, called, time.monotonic(), value)
                except Missing:
                    seen[key] = None, None
                    yield Operation(number, key, kind, called, time.monotonic(), None)
            elif kind == "put":
                client.put(key, value)
                yield Operation(number, key, kind, called, time.monotonic(), value)
            elif key in seen:
                expected, at = seen[key]
                try:
                    client.compare_and_set(key, value, at)
                    done = True
                except Conflict:
                    done = False
                yield Operation(number, key, kind, called, time.monotonic(), value, expected, done)
        except Unavailable:
            expected = seen[key][0] if kind == "cas" else None
            yield Operation(number, key, kind, called, None, None if kind == "get" else value, expected)
