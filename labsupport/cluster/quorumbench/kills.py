"""The operator dies after its k-th write, for every k of what it does: a Quorum made, upgraded, enlarged, restored.

One Quorum goes through the first three, the operator dying after the same k in each, and is deleted; a back-up is
restored into one of its own. A first Quorum, whose operator lives (k is 0), tells how many writes there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from labsupport import kube
from labsupport.cluster.quorum import API_VERSION as API
from labsupport.cluster.quorumbench import load, mortal
from labsupport.cluster.quorumbench.place import SETTLED, SPACE, Place
from labsupport.errors import LabsError

BOOTSTRAP, UPGRADE, SCALE_UP, RESTORE = "bootstrap", "upgrade", "scale-up", "restore"
PHASES = (BOOTSTRAP, UPGRADE, SCALE_UP, RESTORE)
MOST = 80  # Quorums in all, with those whose operator lives
PAUSE = 0.2  # seconds between a writer's writes: what is measured here is the operator, not how much the store can do
QUIET = 1.0  # seconds of load before the operator has something to do, and after
ARCHIVE, BACKUP, KEYS = "archive", "first", 50
SPEC: dict[str, Any] = {
    "size": 3,
    "release": "1.1",
    "backup": {"claimName": ARCHIVE},
    "upgrade": {"healthSeconds": 30},
}


def name_of(phase: str) -> str:
    """Of the fault, in tables and with --only."""
    return f"operator-at-{phase}"


def chosen(writes: Mapping[str, int], most: int = MOST) -> dict[str, list[int]]:
    """After which writes the operator dies, by phase: all, or as many from the first on as `most` Quorums allow.

    A Quorum serves one k of all phases but the restore, which takes one of its own for each; two serve to count.
    """
    room = most - 2 - writes.get(RESTORE, 0)
    bound = {each: count if each == RESTORE else min(count, room) for each, count in writes.items()}
    return {phase: list(range(1, count + 1)) for phase, count in bound.items()}


@dataclass(frozen=True)
class Order:
    """What the operator is told to do, and by how much the key's epoch grows with it."""

    phase: str
    give: Callable[[Place], None]
    ceremonies: int


UPGRADED = Order(UPGRADE, lambda here: here.edit(release="2.0"), 0)
ENLARGED = Order(SCALE_UP, lambda here: here.edit(size=5), 2)  # a re-share for each that comes


def due(phases: Sequence[str], done: Sequence[dict[str, Any]]) -> dict[int, list[str]]:
    """What is left to do, by write: first those in which the operator lives, which tell how much the rest is. Pure."""
    have = {(each["name"], each["run"]) for each in done}
    counted = {each["name"]: int(each["writes"]) for each in done if "writes" in each}
    uncounted = [each for each in phases if name_of(each) not in counted]
    if uncounted:
        return {0: uncounted}
    ks = chosen({each: counted[name_of(each)] for each in phases})
    found = {
        k: [each for each in phases if k in ks[each] and (name_of(each), k) not in have]
        for k in range(1, max(map(len, ks.values()), default=0) + 1)
    }
    return {k: left for k, left in found.items() if left}


def runs(here: Place, phases: Sequence[str], done: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One result after another. `done` is what was found before; the caller adds each result to it."""
    if RESTORE in phases and due(phases, done):
        _archive(here)
    while left := due(phases, done):
        k, now = next(iter(left.items()))
        yield from _life(here, k, now)
    if phases:
        mortal.disarm(here)


def _life(here: Place, k: int, phases: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A Quorum from its beginning to its end, with the operator dying after write `k` of each of `phases`."""
    if RESTORE in phases:
        yield _restored(replace(here, name=f"r{k}"), k)
    if not set(phases) - {RESTORE}:
        return
    quorum = replace(here, name=f"k{k}")
    if BOOTSTRAP in phases:
        yield _made(quorum, k)
    else:
        _whole(quorum)
    for order in (UPGRADED, ENLARGED):
        if order.phase in phases:
            yield _changed(quorum, order, k)
    quorum.remove()


def _made(here: Place, k: int) -> dict[str, Any]:
    """Nothing is there before; clients begin as soon as they have a token."""
    mortal.arm(here, k)
    began = time.monotonic()
    here.make(SPEC)
    running = load.begin(here, PAUSE)
    return _judged(here, BOOTSTRAP, k, began, running, key="", epoch=1)


def _changed(here: Place, order: Order, k: int) -> dict[str, Any]:
    mortal.arm(here, k)
    before = here.settle()["status"]
    running = load.begin(here, PAUSE)
    time.sleep(QUIET)
    began = time.monotonic()
    order.give(here)
    epoch = before["keyEpoch"] + order.ceremonies
    return _judged(here, order.phase, k, began, running, key=before["publicKey"], epoch=epoch)


def _judged(
    here: Place, phase: str, k: int, began: float, running: Future[dict[str, Any]], *, key: str, epoch: int
) -> dict[str, Any]:
    """Wait until all is as wanted, end the load, and compare: one key, as many ceremonies as there should be."""
    after = here.settle()["status"]
    seconds = time.monotonic() - began
    time.sleep(QUIET)
    load.end(here)
    found = running.result()
    same = after["keyEpoch"] == epoch and key in ("", after["publicKey"])
    return _told(here, phase, k, seconds, found, same)


def _restored(here: Place, k: int) -> dict[str, Any]:
    """A back-up into a new Quorum, which nobody writes to before: clients wait as long as the restore takes."""
    _whole(here)
    mortal.arm(here, k)
    before = here.settle()["status"]
    began = time.monotonic()
    spec = {"quorum": here.name, "claimName": ARCHIVE, "backup": BACKUP}
    restore = _object("QuorumRestore", here.name, spec)
    kube.apply(here.api, [restore])
    _complete(here, "QuorumRestore", here.name)
    after = here.settle()["status"]
    seconds = time.monotonic() - began
    lost = load.lost_of_known(here, KEYS)
    running = load.begin(here, PAUSE)
    time.sleep(QUIET)
    load.end(here)
    found = running.result()
    found |= {"acknowledged": found["acknowledged"] + KEYS, "lost": found["lost"] + lost}
    found["gap_s"] = max(found["gap_s"], round(seconds, 3))
    same = (after["publicKey"], after["keyEpoch"]) == (before["publicKey"], before["keyEpoch"])
    told = _told(here, RESTORE, k, seconds, found, same)
    kube.delete(here.api, [restore])
    here.remove()
    return told


def _told(
    here: Place, phase: str, k: int, seconds: float, found: dict[str, Any], same: bool
) -> dict[str, Any]:
    right = same and found["lost"] == 0 and found["linearizable"] is not False
    about = {"name": name_of(phase), "run": k, "settled_s": round(seconds, 3)}
    died: dict[str, Any] = {"died": mortal.died(here)} if k else {"writes": mortal.written(here)}
    return about | died | found | {"final_state_ok": right}


def _whole(here: Place) -> None:
    """A Quorum whose operator lives."""
    mortal.arm(here, 0)
    here.make(SPEC)
    here.settle()


def _archive(here: Place) -> None:
    """A volume with a back-up of a Quorum that had known keys and is gone."""
    if kube.get(here.api, API, "QuorumBackup", BACKUP, SPACE):
        return
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    about = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    kube.apply(here.api, [about | {"metadata": {"name": ARCHIVE, "namespace": SPACE}, "spec": claim}])
    source = replace(here, name="source")
    _whole(source)
    load.write_known(source, KEYS)
    kube.apply(here.api, [_object("QuorumBackup", BACKUP, {"quorum": source.name, "claimName": ARCHIVE})])
    _complete(here, "QuorumBackup", BACKUP)
    source.remove()


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": kind,
        "metadata": {"name": name, "namespace": SPACE},
        "spec": spec,
    }


def _complete(here: Place, kind: str, name: str) -> None:
    """Wait for a back-up or a restore. Errors: TimedOut, LabsError."""

    def done(objects: list[dict[str, Any]]) -> kube.Seen:
        status = objects[0].get("status") or {} if objects else {}
        phase = status.get("phase", "")
        return kube.Seen(
            phase == "Completed", f"{phase} {status.get('message', '')}", failed=phase == "Failed"
        )

    if not kube.until(here.api, kube.Target(API, kind, name, SPACE), done, timeout=SETTLED):
        raise LabsError(f"{kind} {name} is gone")
