"""A controller around one function of the learner's: informers, a queue, and a journal of what happened.

Level-triggered: `function(core, object)` is called with an object as it is now, after any event that concerns it, once
for all events that came meanwhile, and again later if it raises. Edge-triggered, as a warning: `function(core, change)`
is called once for each event, and never for what happened while nobody watched.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from labsupport.operators.informer import Change, Informer, Kind, Object
from labsupport.operators.workqueue import WorkQueue

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Record = dict[str, Any]  # plain values, so that a line of JSON holds it
Trigger = Literal["level", "edge"]
SYNC_TIMEOUT = 30.0  # seconds for the first lists; they take milliseconds


class Meter:
    """A client's requests, counted, and its writes no faster than `writes_per_second` (0: as fast as they come).

    Real operators are slowed in the same way: client-go allows 5 requests a second unless told otherwise.
    """

    def __init__(self, api: ApiClient, writes_per_second: float = 0.0) -> None:
        self.reads = self.writes = 0
        self._pause = 1 / writes_per_second if writes_per_second else 0.0
        self._next = 0.0
        self._call = api.call_api
        api.call_api = self._counted  # type: ignore[method-assign]

    def _counted(self, method: str, *arguments: Any, **named: Any) -> Any:
        if method == "GET":
            self.reads += 1
        else:
            self.writes += 1
            now = time.monotonic()
            if self._next > now:
                time.sleep(self._next - now)
            self._next = max(now, self._next) + self._pause
        return self._call(method, *arguments, **named)


class Controller:
    """Watches `primary` objects and the `secondary` objects that they own in `namespace`, and calls `function`.

    With `only`, the primary object of that name and no other.

    `function` gets a CoreV1Api on `client`, whose calls are counted for the journal; the informers use `api`. Each
    record of the journal has `at` (seconds since the epoch) and `record`: `event` (with `type`, `kind`, `name`,
    `version`, and `for`, the primary objects that it concerns), or `reconcile` (with `name`, `events` collapsed into
    it, `queued`, `began`, `ended`, `reads`, `writes`, `error`).
    """

    def __init__(
        self,
        api: ApiClient,
        client: ApiClient,
        namespace: str,
        function: Callable[[Any, Any], Any],
        *,
        primary: Kind,
        secondary: Kind | None,
        trigger: Trigger = "level",
        only: str = "",
        writes_per_second: float = 0.0,
        watch_seconds: int = 60,
        journal: Callable[[Record], None] = lambda record: None,
        failed: Callable[[BaseException], str] = lambda error: f"{type(error).__name__}: {error}",
    ) -> None:
        from kubernetes.client import CoreV1Api

        self._core = CoreV1Api(client)
        self._meter = Meter(client, writes_per_second)
        self._function, self._trigger = function, trigger
        self._primary, self._only = primary, only
        self._journal, self._failed = journal, failed
        self._queue = WorkQueue()
        self._changes: deque[Change] = deque()
        self._arrived = threading.Semaphore(0)
        self._live = threading.Event()
        self._informers = [
            Informer(api, kind, namespace, self._told, watch_seconds=watch_seconds, report=self._trouble)
            for kind in (primary, secondary)
            if kind is not None
        ]

    def start(self, stop: threading.Event) -> None:
        """Start watching and working in threads that end after `stop`; returns when the first lists have come."""
        for informer in self._informers:
            threading.Thread(target=informer.run, args=(stop,), daemon=True).start()
        for informer in self._informers:
            informer.synced.wait(SYNC_TIMEOUT)
        self._live.set()
        work = self._reconcile if self._trigger == "level" else self._handle
        threading.Thread(target=work, args=(stop,), daemon=True).start()
        threading.Thread(target=self._end, args=(stop,), daemon=True).start()

    def _end(self, stop: threading.Event) -> None:
        stop.wait()
        self._queue.close()
        self._arrived.release()

    def _told(self, change: Change) -> None:
        concerned = self._concerned(change)
        metadata = change.now["metadata"]
        if self._trigger == "edge" and not self._live.is_set():
            return  # what the first list tells is a state; an edge is only what changes
        if concerned:
            self._journal(
                {
                    **{"record": "event", "at": time.time(), "type": change.type, "kind": change.kind},
                    **{"name": change.name, "version": metadata["resourceVersion"], "for": concerned},
                }
            )
        if self._trigger == "level":
            for name in concerned:
                self._queue.add(name)
        elif concerned:
            self._changes.append(change)
            self._arrived.release()

    def _concerned(self, change: Change) -> list[str]:
        """The names of the primary objects that a change concerns: itself, or its controlling owners, then and now."""
        if change.kind == self._primary.kind:
            return [change.name] if self._only in ("", change.name) else []
        owners = [
            owner["name"]
            for each in (change.before, change.now)
            if each is not None
            for owner in each["metadata"].get("ownerReferences") or []
            if owner.get("controller") and owner["kind"] == self._primary.kind
            if self._only in ("", owner["name"])
        ]
        return list(dict.fromkeys(owners))

    def _reconcile(self, stop: threading.Event) -> None:
        while (taken := self._queue.take()) and not stop.is_set():
            wanted = self._informers[0].objects.get(taken.name)
            error = ""
            if wanted is not None:  # an object that is gone needs nothing: what it owns goes with it
                error = self._call(wanted, taken.name, taken.events, taken.since)
            self._queue.done(taken.name, failed=bool(error))

    def _handle(self, stop: threading.Event) -> None:
        while self._arrived.acquire() and not stop.is_set():
            change = self._changes.popleft()
            self._call(change, self._concerned(change)[0], 1, time.time())

    def _call(self, argument: Object | Change, name: str, events: int, since: float) -> str:
        """Call the learner's function; returns what it raised, in words, or ""."""
        meter, error = self._meter, ""
        reads, writes, began = meter.reads, meter.writes, time.time()
        try:
            self._function(self._core, copy.deepcopy(argument))
        except Exception as raised:
            error = self._failed(raised) or type(raised).__name__
        ended = time.time()
        self._journal(
            {
                **{"record": "reconcile", "at": ended, "name": name, "events": events, "queued": since},
                **{"began": began, "ended": ended, "error": error},
                **{"reads": meter.reads - reads, "writes": meter.writes - writes},
            }
        )
        return error

    def _trouble(self, text: str) -> None:
        self._journal({"record": "trouble", "at": time.time(), "text": text})
