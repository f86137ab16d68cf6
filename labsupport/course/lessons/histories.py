"""Watching a learner keep a cache: a monitor between the learner's function and a source of lists and events.

The source is a server in memory that tells a generated history (History), or the real API server (in the lab's checks).
The monitor knows after each event what the cache must hold, and from which version each watch must go on. The first
thing that is wrong ends the run and is the result.
"""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Object = dict[str, Any]
Event = dict[str, Any]  # {"type": ..., "object": ...}, as a line of a watch holds it
Cache = dict[str, Object]
Step = tuple[str, ...]


class TheEnd(BaseException):
    """The history is told; the learner's function, which would watch for ever, ends here."""


@dataclass(frozen=True)
class Report:
    """How a run went: `problem` is "" or what was wrong first, `text` says it with the numbers, the rest counts."""

    problem: str
    text: str
    lists: int
    watches: int
    events: int


class Source(Protocol):
    """What a learner's function gets its lists and events from."""

    def list(self) -> Object:
        """The answer to a list request."""

    def watch(self, version: str) -> Iterator[Event]:
        """The events after `version`, until the connection breaks."""


@dataclass
class Monitor:
    """The two functions that a learner's function is given, and what it should have made of their answers."""

    source: Source
    cache: Cache = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)  # name -> resourceVersion, as told so far
    version: str = ""  # from which the next watch must go on; "" where a list is due
    before: str = "a list"  # what was told last, in words
    bookmarked: bool = False
    lists: int = 0
    watches: int = 0
    events: int = 0
    problem: str = ""
    text: str = ""

    def list_flocks(self) -> Object:
        """The list, as the learner's function gets it."""
        if self.lists and self.version:
            self._wrong(
                "lists-again",
                f"After {self.before} the function asked for a whole new list, although version {self.version} "
                "was known and the server still had everything after it.",
            )
        self._compare()
        answer = self.source.list()
        self.lists += 1
        self.told = {
            each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in answer["items"]
        }
        self.version, self.bookmarked = answer["metadata"]["resourceVersion"], False
        self.before = f"the list at version {self.version}"
        return copy.deepcopy(answer)

    def watch_flocks(self, resource_version: Any = None) -> Iterator[Event]:
        """The events after a version, as the learner's function gets them."""
        self._compare()
        self.watches += 1
        given = "" if resource_version is None else str(resource_version)
        if not self.version:
            self._wrong(
                "no-list-after-expiry",
                f"After {self.before} the function watched again from version {given or '(none)'}, "
                "without a list. The server has forgotten what happened in between.",
            )
        if given in ("", "0"):
            self._wrong(
                "no-version",
                f"A watch was opened without a version after {self.before}: it begins with whatever is there now, and "
                "says nothing of what has gone meanwhile.",
            )
        if given != self.version:
            self._wrong(
                "ignores-bookmark" if self.bookmarked else "old-version",
                f"The last that was told was {self.before}, with version {self.version}; the next watch was opened "
                f"from {given}.",
            )
        return self._events(given)

    def _events(self, given: str) -> Iterator[Event]:
        for event in self.source.watch(given):
            self._note(event)
            yield copy.deepcopy(event)
            self._compare()
            if not self.version:  # after an ERROR the server closes the connection
                return

    def _note(self, event: Event) -> None:
        self.events += 1
        now = event["object"]
        if event["type"] == "ERROR":
            self.version, self.before = "", f"an ERROR event with code {now['code']}"
            return
        self.version = now["metadata"]["resourceVersion"]
        self.bookmarked = event["type"] == "BOOKMARK"
        if self.bookmarked:
            self.before = "a BOOKMARK"
            return
        name = now["metadata"]["name"]
        self.before = f"{event['type']} of {name}"
        if event["type"] == "DELETED":
            self.told.pop(name, None)
        else:
            self.told[name] = self.version

    def _compare(self) -> None:
        """Whether the cache holds what was told."""
        try:
            held = {name: each["metadata"]["resourceVersion"] for name, each in self.cache.items()}
        except (TypeError, KeyError, AttributeError):
            self._wrong(
                "not-objects", "The cache holds something else than names and the objects as they came."
            )
        extra, missing = (
            sorted(map(str, held.keys() - self.told.keys())),
            sorted(self.told.keys() - held.keys()),
        )
        stale = sorted(name for name in held.keys() & self.told.keys() if held[name] != self.told[name])
        if extra:
            self._wrong(
                "ghost",
                f"After {self.before} the cache still holds {', '.join(extra)}, which the server no longer has.",
            )
        if missing:
            self._wrong("lost-update", f"After {self.before} the cache lacks {', '.join(missing)}.")
        if stale:
            self._wrong("stale", f"After {self.before} the cache holds an old version of {', '.join(stale)}.")

    def _wrong(self, problem: str, text: str) -> None:
        if not self.problem:
            self.problem, self.text = problem, text
        raise TheEnd

    def run(self, function: Callable[..., Any]) -> Report:
        """Run the learner's function to the end of the history, or to the first thing that is wrong."""
        try:
            function(self.list_flocks, self.watch_flocks, self.cache)
            if not self.problem:
                self.problem = "returned"
                self.text = f"The function returned after {self.before}; nobody keeps the cache from then on."
        except TheEnd:
            if not self.problem:
                with contextlib.suppress(TheEnd):
                    self._compare()
        return Report(self.problem, self.text, self.lists, self.watches, self.events)


class History:
    """An API server for one kind, in memory, which tells the `steps` of a history to whoever watches.

    Steps: ("set", name), ("delete", name); ("bookmark",), after writes to other kinds have moved the version on;
    ("break", *names), a connection that ends, after which the named objects are written or deleted unseen; ("expire",
    *names), the same, after which older versions are forgotten; ("forget",), an expiry in the middle of a watch.
    """

    def __init__(self, steps: list[Step]) -> None:
        self._steps = list(steps)
        self._objects: Cache = {}
        self._log: list[Event] = []
        self._version, self._oldest = 1000, 1000

    def list(self) -> Object:
        """All objects, and the version at which they were read."""
        return {
            "kind": "FlockList",
            "metadata": {"resourceVersion": str(self._version)},
            "items": [self._objects[name] for name in sorted(self._objects)],
        }

    def watch(self, version: str) -> Iterator[Event]:
        """What happened after `version`, then what the next steps make happen, up to the next break."""
        if not version.isdigit() or int(version) < self._oldest:
            yield _gone(version, self._version)
            return
        after = [
            each for each in self._log if int(each["object"]["metadata"]["resourceVersion"]) > int(version)
        ]
        yield from after
        while self._steps:
            what, *names = self._steps.pop(0)
            if what in ("set", "delete"):
                yield from self._happen(names[0], delete=what == "delete")
            elif what == "bookmark":
                self._version += 40
                yield {
                    "type": "BOOKMARK",
                    "object": {"kind": "Flock", "metadata": {"resourceVersion": str(self._version)}},
                }
                self._oldest = self._version
            else:
                for name in names:
                    list(self._happen(name, delete=name in self._objects and len(name) % 2 == 0))
                if what in ("expire", "forget"):
                    self._version += 1
                    self._oldest = self._version
                if what == "forget":
                    yield _gone(version, self._version)
                return
        raise TheEnd

    def _happen(self, name: str, *, delete: bool) -> Iterator[Event]:
        if delete and name not in self._objects:
            return
        self._version += 1
        before = self._objects.get(name)
        now: Object = {
            "kind": "Flock",
            "metadata": {"name": name, "resourceVersion": str(self._version)},
            "spec": {"size": self._version % 7},
        }
        if delete:
            del self._objects[name]
            change = "DELETED"
        else:
            self._objects[name] = now
            change = "ADDED" if before is None else "MODIFIED"
        event = {"type": change, "object": now}
        self._log.append(event)
        yield event


def _gone(version: str, now: int) -> Event:
    message = f"too old resource version: {version} ({now})"
    return {
        "type": "ERROR",
        "object": {
            "kind": "Status",
            "status": "Failure",
            "message": message,
            "reason": "Expired",
            "code": 410,
        },
    }


NAMES = ("hill", "meadow", "moor", "brook", "lea")  # of even and of odd length: see History.watch


def generated(seed: int) -> list[Step]:
    """A history that nobody has seen: the same one for the same seed, longer ones for larger seeds."""
    chance = random.Random(seed)
    steps: list[Step] = []
    for _ in range(3 + seed):
        some = tuple(chance.sample(NAMES, chance.randint(1, 3)))
        steps.append(
            chance.choices(
                [
                    ("set", some[0]),
                    ("delete", some[0]),
                    ("bookmark",),
                    ("break", *some),
                    ("expire", *some),
                    ("forget", *some),
                ],
                weights=[6, 3, 1, 1, 1, 1],
            )[0]
        )
        if steps[-1] == ("bookmark",):
            steps.append(("break",))
    return steps


def run_history(function: Callable[..., Any], steps: list[Step]) -> Report:
    """Run a learner's function on a history."""
    return Monitor(History(steps)).run(function)


def summary(reports: Mapping[int, Report]) -> str:
    """What runs that went well have seen together."""
    lists = sum(each.lists for each in reports.values())
    events = sum(each.events for each in reports.values())
    watches = sum(each.watches for each in reports.values())
    return f"{len(reports)} histories, {events} events, {watches} watches, {lists} lists"
