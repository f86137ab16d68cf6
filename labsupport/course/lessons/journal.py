"""What a deployed controller of lab O2 tells of its work: drawn, counted, and timed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.course.deploy import find
from labsupport.course.lessons.loop import QUIET, SETTLE_TIMEOUT, sheep, sheep_path, steal
from labsupport.course.views import Table
from labsupport.draw.steps import Step, steps
from labsupport.draw.strip import strip
from labsupport.draw.theme import Picture
from labsupport.errors import LabsError
from labsupport.kube.client import stream
from labsupport.operators.controller import Record

if TYPE_CHECKING:
    from labsupport.course.context import Context


@contextmanager
def recorded(lab: Context, name: str = "shepherd") -> Iterator[list[Record]]:
    """What a deployed controller writes in its journal during the block, and after it until it rests.

    The list is empty within the block, and filled when the block has ended.
    """
    records: list[Record] = []
    began = time.time()
    yield records
    if find(lab.world, name) is None:
        return
    deadline = time.monotonic() + SETTLE_TIMEOUT
    count = -1
    while time.monotonic() < deadline:
        now = [each for each in _records(lab, name) if each["at"] >= began]
        if now and len(now) == count:
            records.extend(now)
            return
        count = len(now)
        time.sleep(QUIET)  # the log of a Pod is read in one piece; what is awaited is that it stays as it is


def _records(lab: Context, name: str) -> list[Record]:
    found = find(lab.world, name)
    if found is None:
        return []
    return [each for each in found.records() if each.get("record") in ("event", "reconcile")]


def story(records: Sequence[Record], title: str) -> Picture:
    """Draw a journal: which events each reconcile answered."""
    began = min((each["at"] for each in records), default=0.0)
    return steps([*_steps(records, began)], title=title)


def _steps(records: Sequence[Record], began: float) -> Iterator[Step]:
    events = [each for each in records if each["record"] == "event"]
    told: dict[str, int] = {}
    for each in sorted(
        (run for run in records if run["record"] == "reconcile"), key=lambda run: run["began"]
    ):
        name = each["name"]
        concerning = [event for event in events if name in event["for"]]
        # The journal does not say which events were collapsed into a run, but how many, and they kept their order.
        first = told.get(name, 0)
        told[name] = first + each["events"]
        answered = concerning[first : told[name]]
        yield Step(
            each["began"] - began,
            tuple(f"{event['type'].lower()} {event['name']}" for event in answered),
            max(0.0, each["began"] - each["queued"]),
            each["ended"] - each["began"],
            each["reads"],
            each["writes"],
            each["error"],
        )


@dataclass(frozen=True)
class Reactions:
    """How soon a controller answers, in milliseconds: from a sheep's deletion until it is back, and what the journal
    knows of it.
    """

    back: tuple[float, ...]
    waited: tuple[float, ...]
    took: tuple[float, ...]

    def picture(self) -> Picture:
        """Every measurement as a dot."""
        rows = {
            "deleted until back": self.back,
            "event until reconcile": self.waited,
            "reconcile that wrote": self.took,
        }
        return strip(rows, title=f"{len(self.back)} sheep deleted, one after another", unit="ms")


def reactions(lab: Context, flock: str, count: int = 20, name: str = "shepherd") -> Reactions:
    """Delete a sheep of `flock` `count` times, and wait each time until the controller `name` has brought it back.

    Without any sheep nothing is measured. Errors: LabsError if one does not come back.
    """
    victim = next(iter(sheep(lab, flock)), "")
    if not victim:  # no shepherd has made any yet: the picture says that nothing was measured
        return Reactions((), (), ())
    path = sheep_path(lab)
    back: list[float] = []
    with recorded(lab, name) as records:
        version = kube.request(lab.api, "GET", path, query={"limit": "1"})["metadata"]["resourceVersion"]
        query = {"watch": "true", "resourceVersion": version, "fieldSelector": f"metadata.name={victim}"}
        events = stream(lab.api, path, query=query, timeout=SETTLE_TIMEOUT)
        for _ in range(count):
            began = time.perf_counter()
            steal(lab, victim)
            if not any(event["type"] == "ADDED" for event in events):
                raise LabsError(f"{victim} was deleted and did not come back in {SETTLE_TIMEOUT:.0f} s.")
            back.append((time.perf_counter() - began) * 1000)
    wrote = [each for each in records if each["record"] == "reconcile" and each["writes"]]
    return Reactions(
        tuple(back),
        tuple(max(0.0, each["began"] - each["queued"]) * 1000 for each in wrote),
        tuple((each["ended"] - each["began"]) * 1000 for each in wrote),
    )


def cost(records: Sequence[Record]) -> Table:
    """What a journal says about events, reconciles and requests."""
    runs = [each for each in records if each["record"] == "reconcile"]
    events = sum(each["events"] for each in runs)
    reads, writes = sum(each["reads"] for each in runs), sum(each["writes"] for each in runs)
    most = max((each["events"] for each in runs), default=0)
    rows = [
        ("events", str(events), ""),
        (
            "reconciles",
            str(len(runs)),
            f"one for {events / len(runs):.1f} events, {most} at most" if runs else "",
        ),
        ("reads", str(reads), f"{reads / len(runs):.1f} for each reconcile" if runs else ""),
        ("writes", str(writes), f"{writes / len(runs):.1f} for each reconcile" if runs else ""),
    ]
    return Table("What it cost", ("What", "How many", "On average"), rows)
