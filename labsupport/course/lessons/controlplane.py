"""What a learner's control plane (the host `snapshot`) tells of its work, and what requests see meanwhile.

Its records: calls of the function, what it sent, what proxies answered (labsupport/operators/snapshot.py).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from labsupport import kube
from labsupport.course.lessons.proxy import Proxy, newest
from labsupport.course.views import Note, Table
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from labsupport.course.deploy import Deployed
    from labsupport.course.worlds.world import World

NAME = "snapshot"  # of what the lab deploys
QUIET, LONGEST = 0.8, 12.0  # seconds without a record, after which a story is over; at most
SCALED = 25.0  # seconds for a Deployment's Pods to be as wanted
PAUSED = 0.15  # seconds without a word, after which a talk is about something else
PAUSE = 0.005  # seconds between two requests
KINDS = (
    ("v1", "Service"),
    ("discovery.k8s.io/v1", "EndpointSlice"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"),
)
Record = dict[str, Any]
Object = dict[str, Any]


class Place(Protocol):
    """The notebook's `lab`, or a check's probe."""

    @property
    def world(self) -> World:
        """The lab on the cluster."""


def objects(lab: Place) -> tuple[list[Object], list[Object], list[Object]]:
    """The Services, EndpointSlices and HTTPRoutes of the lab, as the host gives them to the learner's function."""
    found = []
    for api_version, kind in KINDS:
        listed = kube.list_objects(lab.world.api, api_version, kind, lab.world.namespace)
        for each in listed:
            each["metadata"].pop("managedFields", None)
        found.append(listed)
    return found[0], found[1], found[2]


def deployed(lab: Place) -> Deployed:
    """The lab's control plane. Errors: LabsError if there is none."""
    from labsupport.course.deploy import find

    there = find(lab.world, NAME)
    if there is None:
        raise LabsError(
            "No control plane runs in your namespace.", fix='`lab.deploy(snapshot, host="snapshot")`'
        )
    return there


def records(lab: Place, since: float = 0.0) -> list[Record]:
    """What it told after that moment (seconds since the epoch, by its own clock)."""
    return [each for each in deployed(lab).records() if "what" in each and each["at"] > since]


@contextlib.contextmanager
def recorded(lab: Place) -> Iterator[list[Record]]:
    """What the control plane tells from now until some quiet after the block; the list is filled at the end."""
    since = max((each["at"] for each in records(lab)), default=0.0)
    told: list[Record] = []
    yield told
    ending = time.monotonic() + LONGEST
    count, still = 0, time.monotonic()
    while time.monotonic() < ending and time.monotonic() - still < QUIET:
        told[:] = records(lab, since)
        if len(told) != count:
            count, still = len(told), time.monotonic()
        time.sleep(0.1)


def conversation(lab: Place, pod: str = "") -> Table | Note:
    """The control plane's first talk with a proxy, once the proxy has answered and there is some quiet.

    Default: the youngest proxy.
    """
    try:
        pod = pod or _newest(lab)
        ending = time.monotonic() + LONGEST
        count, still = 0, time.monotonic()
        while True:
            told = [each for each in records(lab) if each.get("proxy") == pod]
            if len(told) != count:
                count, still = len(told), time.monotonic()
            heard = any(each["what"] == "answered" for each in told)
            if (heard and time.monotonic() - still > QUIET) or time.monotonic() > ending:
                return story(opening(told), f"The control plane and {pod}")
            time.sleep(0.1)
    except kube.Unreachable:
        raise
    except LabsError as error:
        return Note(f"{error.what} Next: {error.fix}.", "There is nothing to show yet")


def opening(told: Sequence[Record]) -> list[Record]:
    """A talk up to the first pause after an answer."""
    found: list[Record] = []
    for each in told:
        if found and found[-1]["what"] == "answered" and each["at"] - found[-1]["at"] > PAUSED:
            break
        found.append(each)
    return found


def _newest(lab: Place) -> str:
    """The lab's youngest proxy, ready or not."""
    pods = kube.list_objects(lab.world.api, "v1", "Pod", lab.world.namespace, labels="app=proxy")
    found = newest(pods)
    return str(found["metadata"]["name"]) if found else ""


def story(told: Sequence[Record], title: str = "What the control plane did") -> Table | Note:
    """Its records as a table."""
    if not told:
        return Note("The control plane has told nothing.", title)
    first = told[0]["at"]
    rows = [(f"{(each['at'] - first) * 1000:.0f}", *_row(each)) for each in told]
    return Table(title, ("ms", "It", "Which", "Proxy"), rows)


def _row(record: Record) -> tuple[str, str, str]:
    proxy = str(record.get("proxy", ""))
    if record["what"] == "sent":
        names = [*record["resources"], *(f"{name} (gone)" for name in record["removed"])]
        return f"sends {record['type']}", f"{', '.join(names) or 'none'}; {record['bytes']} bytes", proxy
    if record["what"] == "answered":
        if record["ack"]:
            return f"hears ACK of {record['type']}", "", proxy
        return f"hears NACK of {record['type']}", str(record["message"]), proxy
    if record["what"] == "called":
        return "calls your function", ", ".join(record["because"]) or "its start", ""
    if record["what"] == "connected":
        return "hears from a proxy", "", proxy
    return "loses a proxy", "", proxy


def sent(told: Sequence[Record], proxy: str = "") -> list[tuple[str, str]]:
    """What was sent: pairs of a type and a name, in order; to one proxy, or to all."""
    return [
        (each["type"], name)
        for each in told
        if each["what"] == "sent" and proxy in ("", each["proxy"])
        for name in [*each["resources"], *each["removed"]]
    ]


# --- what is done to the lab


def scale(lab: Place, deployment: str, replicas: int, timeout: float = SCALED) -> Note:
    """Give a Deployment so many Pods, and wait until that many are ready and no others are there."""
    began = time.monotonic()
    path = f"/apis/apps/v1/namespaces/{lab.world.namespace}/deployments/{deployment}"
    try:
        kube.patch(lab.world.api, path, {"spec": {"replicas": replicas}})
    except kube.Refused as refused:
        return Note(f"Nothing was changed: {refused.what}")
    return _awaited(lab, deployment, replicas, began, timeout)


def replace(lab: Place, deployment: str, timeout: float = SCALED) -> Note:
    """Delete the Pods of a Deployment without notice, and wait until as many others are ready."""
    began = time.monotonic()
    found = kube.get(lab.world.api, "apps/v1", "Deployment", deployment, lab.world.namespace)
    if found is None:
        return Note(f"There is no Deployment {deployment}.")
    old = {each["metadata"]["name"] for each in _pods(lab, found)}
    for name in sorted(old):
        path = f"/api/v1/namespaces/{lab.world.namespace}/pods/{name}"
        with contextlib.suppress(kube.Refused):  # it has gone by itself
            kube.request(lab.world.api, "DELETE", path, body={"gracePeriodSeconds": 0})
    return _awaited(lab, deployment, int(found["spec"].get("replicas", 1)), began, timeout, old)


def remove(lab: Place, kind: str, name: str, api_version: str = "v1") -> Note:
    """Delete an object of the lab, if it is there."""
    gone = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
    kube.delete(lab.world.api, [gone], namespace=lab.world.namespace)
    return Note(f"{kind} {name} is gone.")


def _pods(lab: Place, deployment: Object) -> list[Object]:
    labels = ",".join(
        f"{key}={value}" for key, value in deployment["spec"]["selector"]["matchLabels"].items()
    )
    return kube.list_objects(lab.world.api, "v1", "Pod", lab.world.namespace, labels=labels)


def _awaited(
    lab: Place, name: str, replicas: int, began: float, timeout: float, old: set[str] | None = None
) -> Note:
    deployment = kube.get(lab.world.api, "apps/v1", "Deployment", name, lab.world.namespace)
    if deployment is None:
        return Note(f"There is no Deployment {name}.")
    ending = time.monotonic() + timeout
    while True:
        pods = [each for each in _pods(lab, deployment) if each["metadata"]["name"] not in (old or set())]
        ready = sum(kube.ready([{"kind": "Pod", **each}]).done for each in pods)
        seconds = time.monotonic() - began
        if ready == len(pods) == replicas:
            return Note(f"{name}: {ready} of {replicas} Pods are ready, after {seconds:.1f} s.")
        if time.monotonic() > ending:
            return Note(
                f"{name}: {ready} of {replicas} Pods are ready, {seconds:.1f} s after it was asked for."
            )
        time.sleep(0.1)


# --- requests meanwhile


@dataclass
class Answers:
    """One answer after the other: when (seconds since the first request), its status, who gave it."""

    path: str
    got: list[tuple[float, int, str]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many were answered with an error, or not at all."""
        return sum(status >= 400 or status == 0 for _, status, _ in self.got)

    def runs(self) -> list[tuple[float, float, int, str, int]]:
        """Answers of one kind in a row: from, to, status, who, how many."""
        found: list[tuple[float, float, int, str, int]] = []
        for at, status, who in self.got:
            if found and found[-1][2:4] == (status, who):
                found[-1] = (found[-1][0], at, status, who, found[-1][4] + 1)
            else:
                found.append((at, at, status, who, 1))
        return found

    def _table(self) -> Table:
        rows = [
            (f"{begin * 1000:.0f}", str(count), str(status or "-"), who)
            for begin, _, status, who, count in self.runs()
        ]
        title = f"{len(self.got)} requests for {self.path}, {self.failed} of them failed"
        return Table(title, ("from ms", "Answers", "Status", "From"), rows)

    def __str__(self) -> str:
        """The text form."""
        return str(self._table())

    def __repr__(self) -> str:
        """The text form."""
        return str(self)

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


@contextlib.contextmanager
def asking(lab: Place, host: str, path: str = "/", after: float = 0.3) -> Iterator[Answers]:
    """Requests for `host` through the proxy, one after the other, during the block and `after` seconds more."""
    proxy = Proxy(lab.world)
    pod = proxy.running().pod
    answers, stop = Answers(f"{host}{path}"), threading.Event()
    began = time.monotonic()

    def ask() -> None:
        while not stop.is_set():
            reply = proxy.send(path, {"Host": host}, pod=pod)
            who = f"version {reply.version}" if reply.pod else reply.who
            answers.got.append((time.monotonic() - began, reply.status, who))
            time.sleep(PAUSE)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield answers
        time.sleep(after)
    finally:
        stop.set()
        thread.join(10)
