"""What lab O2 runs and measures: a controller in the notebook's own process, its journal, and how soon it answers."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.deploy import find
from labsupport.course.views import Note, Table
from labsupport.kube.client import stream
from labsupport.kube.objects import resource
from labsupport.operators.controller import Controller, Record, Trigger
from labsupport.operators.informer import Kind

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.course.context import Context

SETTLE_TIMEOUT = 20.0  # seconds after which a controller that never rests is told of as it is
QUIET = 0.3  # seconds without a record after which a controller is taken to rest
READY_TIMEOUT = 30.0  # seconds until a killed controller's successor works
COLLECT_TIMEOUT = 45.0  # seconds: the garbage collector learns of new kinds every 30
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
        kube.request(lab.api, "DELETE", f"{sheep_path(lab)}/{name}")


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


def sheep_path(lab: Context) -> str:
    """The path of the ConfigMaps in the lab's namespace."""
    return resource(lab.api, SHEEP.api_version, SHEEP.kind).path(lab.namespace)


def kill(lab: Context, name: str = "shepherd", *, when: str = "", sheep_there: int = 0) -> str:
    """Kill a deployed controller's Pods without notice, once `when` has so many sheep; returns their names."""
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


def again(lab: Context, name: str = "shepherd") -> None:
    """Wait until a deployed controller works again, after a kill."""
    target = kube.Target("apps/v1", "Deployment", name, lab.namespace)
    killed = kube.get(lab.api, target.api_version, target.kind, name, lab.namespace)
    kube.until_ready(lab.api, [target] if killed else [], timeout=READY_TIMEOUT)


def watch(lab: Context, path: str, version: str, *, seconds: int = 1) -> Iterator[dict[str, Any]]:
    """The events below `path` after `version`, until the server ends the watch after so many seconds."""
    query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": str(seconds)}
    return stream(lab.api, path, query=query | {"allowWatchBookmarks": "true"}, timeout=seconds + 5)


def line(event: dict[str, Any]) -> str:
    """An event in one line."""
    now = event["object"]
    if event["type"] == "ERROR":
        return f"ERROR     code {now['code']}: {now['message']}"
    name, version = now["metadata"].get("name", "(no object)"), now["metadata"]["resourceVersion"]
    spec = json.dumps(now.get("spec") or {}) if event["type"] != "BOOKMARK" else ""
    return f"{event['type']:<9} {name:<8} at version {version}  {spec}".rstrip()


def show_owner(lab: Context, flock: str) -> None:
    """Print the owner references of one sheep of a flock."""
    name = sheep(lab, flock)[0]
    found = kube.get(lab.api, SHEEP.api_version, SHEEP.kind, name, lab.namespace)
    print(f"ConfigMap {name}, metadata.ownerReferences:")
    print(json.dumps(found["metadata"]["ownerReferences"] if found else None, indent=2))


def collected(lab: Context, flock: str) -> Note:
    """Delete a Flock, and only that, and wait until its sheep are gone, too."""
    kind, before = flocks(lab.group), sheep(lab, flock)
    path = f"{resource(lab.api, kind.api_version, kind.kind).path(lab.namespace)}/{flock}"
    kube.request(lab.api, "DELETE", path)
    began = time.monotonic()
    target = kube.Target(SHEEP.api_version, SHEEP.kind, namespace=lab.namespace, labels=f"flock={flock}")
    kube.until(lab.api, target, kube.wait.gone, timeout=COLLECT_TIMEOUT)
    took = time.monotonic() - began
    return Note(
        f"The Flock {flock} was deleted, and nothing else. {len(before)} sheep that referred to it were gone "
        f"{took:.2f} s later."
    )


def race(lab: Context, *, careful: bool) -> Table:
    """Two writers add wool to one number, in each other's way; `careful` ones send the version along."""
    barn = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "barn"}, "data": {"kilos": "100"}}
    path = f"{sheep_path(lab)}/barn"
    kube.delete(lab.api, [barn], namespace=lab.namespace)
    kube.apply(lab.api, [barn], namespace=lab.namespace)
    rows: list[tuple[str, str, str]] = []
    held: dict[str, dict[str, Any]] = {}

    def read(who: str) -> None:
        held[who] = kube.request(lab.api, "GET", path)
        data, version = held[who]["data"]["kilos"], held[who]["metadata"]["resourceVersion"]
        rows.append((who, "reads", f"{data} kilos, at version {version}"))

    def write(who: str, kilos: int) -> bool:
        mine = held[who]
        mine["data"]["kilos"] = str(int(mine["data"]["kilos"]) + kilos)
        if not careful:
            del mine["metadata"]["resourceVersion"]
        words = f"writes {mine['data']['kilos']} kilos" + (
            f", based on version {mine['metadata']['resourceVersion']}" if careful else ""
        )
        try:
            stored = kube.request(lab.api, "PUT", path, body=mine)
        except kube.Refused as refused:
            rows.append((who, words, f"{refused.status} {refused.reason}: nothing is stored"))
            return False
        rows.append((who, words, f"200, stored as version {stored['metadata']['resourceVersion']}"))
        return True

    read("first")
    read("second")
    write("first", 30)
    if not write("second", 5):
        read("second")
        write("second", 5)
    found = kube.request(lab.api, "GET", path)["data"]["kilos"]
    rows.append(("", "100 + 30 + 5 is to be", f"{found} kilos in the barn"))
    kube.delete(lab.api, [barn], namespace=lab.namespace)
    return Table(
        "Two careful writers" if careful else "Two careless writers", ("Who", "What", "The answer"), rows
    )
