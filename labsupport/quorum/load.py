"""Load on a Quorum from a Pod in its cluster: writes that must not be lost, and a history that must be linearizable.

`python3 -m labsupport.quorum load`: runs until a file is made (`--stop`) or `--seconds` are over, reads everything
again, and prints one line of JSON:

    acknowledged  writes that were confirmed; each to a key of its own
    lost          of those: not there in the end, or another value
    refused       writes that were given up: no member could do them in time
    gap_s         the longest time in which no write was confirmed: how long there was no leader, as clients see it
    slowest_s     the slowest confirmed write
    operations, unanswered, linearizable, failing
                  of the history (linearizability.py); linearizable is null if the search became too long
"""

from __future__ import annotations

import argparse
import itertools
import json
import secrets
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from labsupport.quorum import configuration, linearizability
from labsupport.quorum.client import Client, Missing, Unavailable
from labsupport.quorum.workload import Workload

AGAIN = 60.0  # seconds to read everything again: the Quorum may still be coming back


@dataclass
class Ledger:
    """Writers that each write a key once, and what was confirmed when."""

    prefix: str  # of keys
    pause: float = 0.01  # seconds between two writes of one writer
    confirmed: dict[str, bytes] = field(default_factory=dict)
    moments: list[float] = field(default_factory=list)
    slowest: float = 0.0
    refused: int = 0

    def write(self, client: Client, writer: int, stop: threading.Event) -> None:
        """One writer, until it is stopped, but one write at least."""
        for count in itertools.count(1):
            key, value = f"{self.prefix}w/{writer}/{count}", f"{writer} {count}".encode()
            began = time.monotonic()
            try:
                client.put(key, value)
            except Unavailable:
                self.refused += 1
            else:
                now = time.monotonic()
                self.confirmed[key] = value
                self.moments.append(now)
                self.slowest = max(self.slowest, now - began)
            if stop.wait(self.pause):
                return

    def gap(self, began: float, ended: float) -> float:
        """The longest time without a confirmed write."""
        times = [began, *sorted(self.moments), ended]
        return max(later - earlier for earlier, later in pairwise(times))

    def lost(self, client: Client) -> int:
        """How many confirmed writes are not there."""
        missing = 0
        for key, value in self.confirmed.items():
            try:
                missing += client.get(key).value != value
            except Missing:
                missing += 1
        return missing


def run(arguments: argparse.Namespace) -> int:
    """Everything; the exit status."""
    config = configuration.read(arguments.config)
    token = (arguments.tokens / "client").read_text().strip()
    urls = [config.api(f"{config.name}-{number}") for number in range(arguments.members)]

    def connect() -> Client:
        return Client(urls, token, str(arguments.authority))

    stop = threading.Event()
    prefix = f"{secrets.token_hex(4)}/"  # another run may have written to this Quorum
    ledger = Ledger(prefix, arguments.pause)
    workload = Workload(connect, operations=10**9, pause=2 * arguments.pause, stop=stop, prefix=prefix)
    began = time.monotonic()
    with ThreadPoolExecutor(arguments.writers + 1) as pool:
        running: list[Future[Any]] = [
            pool.submit(ledger.write, connect(), each, stop) for each in range(arguments.writers)
        ]
        if not arguments.no_history:
            running.append(pool.submit(workload.run))
        wait(arguments.stop, arguments.seconds, stop)
        ended = time.monotonic()
        stop.set()
        for each in running:
            each.result()
    reader = connect()
    reader.timeout = AGAIN
    told: dict[str, object] = {
        "acknowledged": len(ledger.confirmed),
        "lost": ledger.lost(reader),
        "refused": ledger.refused,
        "gap_s": round(ledger.gap(began, ended), 3),
        "slowest_s": round(ledger.slowest, 3),
        "operations": len(workload.history),
        "unanswered": sum(each.returned is None for each in workload.history),
    }
    try:
        verdict = linearizability.check(workload.history)
        told |= {"linearizable": verdict.linearizable, "failing": [str(each) for each in verdict.failing]}
    except linearizability.Undecided:
        told |= {"linearizable": None, "failing": []}
    print(json.dumps(told))
    return 0


def wait(file: Path | None, seconds: float, stop: threading.Event) -> None:
    """Until there is the file, the time is over, or a worker has ended all."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not (file is not None and file.exists()):
        if stop.wait(0.1):
            return
