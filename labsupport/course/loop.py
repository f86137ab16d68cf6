"""What lab O2 runs and measures: a controller in the notebook's own process, its journal, and how soon it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from labsupport.operators.controller import Controller, Record, Trigger
from labsupport.operators.informer import Kind

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.course.context import Context

SETTLE_TIMEOUT = 20.0  # seconds after which a controller that never rests is told of as it is
QUIET = 0.3  # seconds without a record after which a controller is taken to rest
SHEEP = Kind("v1", "ConfigMap")


def flocks(group: str) -> Kind:
    """The kind that lab O2 works with, in the API group of the learner's lab."""
    return Kind(f"{group}/v1", "Flock")


def another_client(api: ApiClient) -> ApiClient:
    """A second client for the same API server, with connections of its own."""
    from kubernetes.client import ApiClient

    return ApiClient(api.configuration)


class Running:
    """A controller that runs in this process, and what it has written in its journal so far."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.records: list[Record] = []

    def note(self, record: Record) -> None:
        """Add a record."""
        with self._changed:
            self.records.append(record)
            self._changed.notify_all()

    def settle(self, quiet: float = QUIET, timeout: float = SETTLE_TIMEOUT) -> None:
        """Wait until the journal has been silent for `quiet` seconds, `timeout` seconds at most."""
        deadline = time.monotonic() + timeout
        with self._changed:
            count = -1
            while count != len(self.records) and time.monotonic() < deadline:
                count = len(self.records)
                self._changed.wait_for(lambda: len(self.records) != count, quiet)  # noqa: B023 (called at once)


@contextmanager
def running(
    lab: Context,
    function: Callable[[Any, Any], Any],
    *,
    trigger: Trigger = "level",
    only: str = "",
    writes_per_second: float = 0.0,
) -> Iterator[Running]:
    """Run a controller around `function` for the Flocks of the lab's namespace while the block runs.

    It is a process of the cluster's like any other, as far as the API server can tell. What `function` raises is noted
    in the journal.
    """
    run, stop = Running(), threading.Event()
    controller = Controller(
        another_client(lab.api),
        another_client(lab.api),
        lab.namespace,
        function,
        primary=flocks(lab.group),
        secondary=SHEEP,
        trigger=trigger,
        only=only,
        writes_per_second=writes_per_second,
        watch_seconds=1,  # so that its watches end soon after the block
        journal=lambda record: None if stop.is_set() else run.note(record),
    )
    controller.start(stop)
    try:
        yield run
    finally:
        stop.set()
