"""What lab O2 runs and measures: a controller in the notebook's own process, its journal, and how soon it answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.views import Table
from labsupport.draw.steps import Step, steps
from labsupport.draw.strip import strip
from labsupport.draw.theme import Picture
from labsupport.errors import LabsError
from labsupport.kube.client import stream
from labsupport.kube.objects import resource
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


def want(lab: Context, name: str, **spec: Any) -> None:
    """Say what a Flock is to be: it is made, or changed."""
    kind = flocks(lab.group)
    flock = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}, "spec": spec}
    kube.apply(lab.api, [flock], namespace=lab.namespace)


def sheep(lab: Context, flock: str) -> list[str]:
    """The names of the sheep that wear the label of a flock."""
    found = kube.list_objects(lab.api, "v1", "ConfigMap", lab.namespace, labels=f"flock={flock}")
    return sorted(each["metadata"]["name"] for each in found)


def steal(lab: Context, *names: str) -> None:
    """Delete ConfigMaps, as a wolf does: without telling anybody."""
    for name in names:
        kube.request(lab.api, "DELETE", f"{_sheep_path(lab)}/{name}")


def clear(lab: Context, *names: str) -> None:
    """Delete Flocks and the sheep that wear their label."""
    kind = flocks(lab.group)
    for name in names:
        flock = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
        kube.delete(lab.api, [flock], namespace=lab.namespace)
        gone = [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": each}} for each in sheep(lab, name)
        ]
        kube.delete(lab.api, gone, namespace=lab.namespace)


def _sheep_path(lab: Context) -> str:
    return resource(lab.api, SHEEP.api_version, SHEEP.kind).path(lab.namespace)


@contextmanager
def recorded(lab: Context, name: str = "shepherd") -> Iterator[list[Record]]:
    """What a deployed controller writes in its journal during the block, and after it until it rests.

    The list is empty within the block, and filled when the block has ended.
    """
    records: list[Record] = []
    began = time.time()
    yield records
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
    from labsupport.course.deploy import find

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

    Errors: LabsError if one does not come back.
    """
    victim = next(iter(sheep(lab, flock)), "")
    if not victim:
        raise LabsError(f"The flock {flock} has no sheep.", fix="its controller is to make them first")
    path = _sheep_path(lab)
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


def kill(lab: Context, name: str = "shepherd", *, when: str = "", sheep_there: int = 0) -> str:
    """Kill a deployed controller's Pods without notice, once the flock `when` has so many sheep; returns their names."""
    from labsupport.course.deploy import find

    found = find(lab.world, name)
    pods = found.pods() if found else []
    if when:
        target = kube.Target("v1", "ConfigMap", namespace=lab.namespace, labels=f"flock={when}")
        kube.until(
            lab.api,
            target,
            lambda each: kube.Seen(len(each) >= sheep_there, "waiting"),
            timeout=SETTLE_TIMEOUT,
        )
    for each in pods:
        path = f"/api/v1/namespaces/{lab.namespace}/pods/{each['metadata']['name']}"
        kube.request(lab.api, "DELETE", path, body={"gracePeriodSeconds": 0})
    return ", ".join(each["metadata"]["name"] for each in pods)
