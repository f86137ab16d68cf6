"""Upgrades of a lab's Quorums: made under a client's writes, watched step by step, and shown. Used by lab O5.

Whoever makes them is a function that was deployed with the host `upgrader` (labsupport/operators/upgrader.py): what it
was asked and did is in its records, what the writes met with is told by the load (labsupport/quorum/load.py).
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.cluster import quorum as operator
from labsupport.course.deploy import find
from labsupport.course.lessons.quorums import DESK, Quorum
from labsupport.course.views import Note, Table
from labsupport.course.worlds.world import World
from labsupport.kube.execute import execute
from labsupport.patience import patient
from labsupport.quorum.releases import RELEASES

if TYPE_CHECKING:
    from labsupport.course.context import Context

UPGRADER = "upgrader"  # the name under which functions are deployed, and in the Quorums' annotation
WHOLE = patient(100.0)  # seconds for an upgrade in a notebook; it takes about 15
STILL = patient(10.0)  # seconds between two looks at whether one that is not over goes on
LOOKS = 3  # such looks in a row that see no change: it stands still
LOAD = 600.0  # seconds after which a load ends by itself, if nobody has ended it
PAUSE = 0.1  # seconds between two writes: what is written is read again at the end
ANSWERED = patient(15.0)  # seconds for the operator to have looked at what is wanted
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """What came of an upgrade. `ended`: "there", "blocked" (with the reason), "stopped" (nothing changed any more) or
    "late"; `wrote`: what the load tells; `records`: what the upgrader did, oldest first.
    """

    target: str
    ended: str
    seconds: float
    wrote: Mapping[str, Any]
    records: Sequence[Record]

    @property
    def changed(self) -> list[tuple[str, bool]]:
        """The members whose Pods were deleted, in their order, and whether each led at that moment."""
        return [
            (each["deletes"], each["deletes"] == each["leader"]) for each in self.records if each["deletes"]
        ]

    @property
    def last(self) -> str:
        """What was last said of it."""
        return str(self.records[-1]["why"]) if self.records else "nothing was done"

    def __str__(self) -> str:
        """In a sentence."""
        if not (wrote := self.wrote):
            return f"To {self.target}: {self.ended}, {self.seconds:.0f} s"
        return (
            f"To {self.target}: {self.ended} after {self.seconds:.0f} s. Writes: {wrote['acknowledged']} confirmed, "
            f"{wrote['refused']} refused, {wrote['lost']} lost; the longest time without one was {wrote['gap_s']:.2f} s"
        )

    def __repr__(self) -> str:
        """The text form."""
        return str(self._table())

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()

    def _table(self) -> Table:
        began = self.records[0]["at"] if self.records else 0.0
        rows = [
            (f"{each['at'] - began:.1f} s", each["leader"] or "nobody", each["said"] or "-", each["why"])
            for each in self.records
        ]
        return Table(str(self), ("When", "Leads", "The function said", "So"), rows)


def records(world: World, quorum: str = "q", kind: str = "upgrade") -> list[Record]:
    """What the upgrader has told of a Quorum."""
    found = find(world, UPGRADER)
    told = found.records() if found else []
    return [each for each in told if each.get("record") == kind and each.get("quorum") == quorum]


def run(
    quorum: Quorum,
    target: str,
    *,
    desk: str = DESK,
    seconds: Callable[[], float],
    progress: Callable[[str], None] | None = None,
) -> Run:
    """Have a Quorum go to a release while a client writes, and wait until it is there, blocked, or stands still.

    `seconds` says how many are left. Errors: LabsError if there is no desk, or the load does not end.
    """
    world = quorum.world
    before = max((each["at"] for each in records(world, quorum.name)), default=0.0)
    with writing(world, desk) as load:
        began = time.monotonic()
        quorum.edit(release=target)
        ended = _await(quorum, seconds, progress)
        took = time.monotonic() - began
    told = [each for each in records(world, quorum.name) if each["at"] > before]
    return Run(target, ended, took, load(), told)


@contextlib.contextmanager
def writing(world: World, desk: str = DESK) -> Iterator[Callable[[], dict[str, Any]]]:
    """A client writes while the block runs; after it, what is yielded says what the writes met with."""
    stop = f"/tmp/stop-{secrets.token_hex(4)}"  # noqa: S108 (in the desk's own container)
    words = ["load", "--members", "3", "--seconds", f"{LOAD:g}", "--stop", stop]
    light = ["--writers", "1", "--pause", f"{PAUSE:g}", "--no-history"]
    command = ["python3", "-m", "labsupport.quorum", *words, *light]
    with ThreadPoolExecutor(1) as pool:
        running: Future[str] = pool.submit(
            execute, world.api, world.namespace, desk, command, timeout=LOAD + 60.0
        )
        try:
            yield lambda: dict(json.loads(running.result().strip().splitlines()[-1]))
        finally:
            execute(world.api, world.namespace, desk, ["touch", stop], timeout=patient(10.0))
            running.result()


def _await(quorum: Quorum, seconds: Callable[[], float], progress: Callable[[str], None] | None) -> str:
    target = kube.Target(operator.API_VERSION, "Quorum", quorum.name, quorum.world.namespace)
    same, before = 0, None
    while (left := seconds()) > 1.0:
        try:
            found = kube.until(quorum.world.api, target, _over, timeout=min(STILL, left), progress=progress)
        except kube.wait.TimedOut:
            pods = [(each["metadata"]["uid"], kube.is_ready(each)) for each in quorum.pods()]
            now = (pods, len(records(quorum.world, quorum.name)))
            same, before = (same + 1 if now == before else 1), now
            if same == LOOKS:
                return "stopped"
        else:
            reason = _blocked(found[0])
            return f"blocked ({reason})" if reason else "there"
    return "late"


def _blocked(quorum: dict[str, Any]) -> str:
    said = operator.conditions(quorum).get("UpgradeBlocked", {})
    return str(said.get("reason")) if said.get("status") == "True" else ""


def _heard(quorum: dict[str, Any]) -> bool:
    """Whether what is said is about what is wanted now."""
    seen = (quorum.get("status") or {}).get("observedGeneration")
    said = operator.conditions(quorum).get("UpgradeBlocked", {}).get("observedGeneration")
    return bool(seen == said == quorum["metadata"]["generation"])


def _over(objects: list[dict[str, Any]]) -> kube.Seen:
    """Whether an upgrade has ended, one way or the other."""
    seen = operator.settled(objects)
    if not objects or seen.failed:
        return seen
    status = objects[0].get("status") or {}
    blocked = _heard(objects[0]) and _blocked(objects[0])
    at_rest = operator.conditions(objects[0]).get("Progressing", {}).get("status") == "False"
    done = seen.done and "upgrade" not in status
    return kube.Seen(bool(done or (blocked and at_rest)), seen.text)


# --- what the notebook shows


def releases() -> Table:
    """Which release speaks which protocols of the members'."""
    rows = [
        (name, ", ".join(map(str, range(each.oldest, each.newest + 1))))
        for name, each in RELEASES.items()
        if "broken" not in name
    ]
    return Table("What members can speak", ("Release", "Protocols"), rows)


def wish(lab: Context, release: str, name: str = "q") -> Table | Note:
    """Want a release of a Quorum, and see what its operator says of that once it has looked."""
    quorum = Quorum(lab.world, name)
    try:
        quorum.edit(release=release)
    except kube.Refused as refused:
        return Note(f"The API server refused it: {refused.what}")
    target = kube.Target(operator.API_VERSION, "Quorum", name, lab.namespace)

    def heard(objects: list[dict[str, Any]]) -> kube.Seen:
        return kube.Seen(bool(objects) and _heard(objects[0]), "the operator has not looked yet")

    (found,) = kube.until(lab.api, target, heard, timeout=ANSWERED)
    rows = [
        (kind, each["status"], each["reason"], each.get("message", ""))
        for kind, each in operator.conditions(found).items()
        if kind in ("Available", "Progressing", "UpgradeBlocked")
    ]
    pods = ", ".join(each["metadata"]["labels"]["quorum.labs.example/release"] for each in quorum.pods())
    rows.append(("(the Pods)", "", "", f"of the releases {pods}"))
    return Table(f"{name}: release {release} is wanted", ("Condition", "Status", "Reason", "Message"), rows)


def go(lab: Context, release: str, name: str = "q") -> Run | Note:
    """Have the Quorum go to a release by whatever runs as `upgrader`, under a client's writes."""
    if find(lab.world, UPGRADER) is None:
        return Note(f"Nothing runs under the name {UPGRADER} yet.")
    until = time.monotonic() + WHOLE
    return run(Quorum(lab.world, name), release, seconds=lambda: until - time.monotonic())


def last(lab: Context, name: str = "q") -> Run | Note:
    """What was done in the last upgrade that was made by whatever runs as `upgrader`."""
    found = records(lab.world, name)
    begun = [number for number, each in enumerate(found) if each["why"].endswith("is gone to")]
    if not begun:
        return Note("No upgrade was begun yet.")
    mine = found[begun[-1] :]
    target, took = mine[0]["why"].partition(" ")[0], mine[-1]["at"] - mine[0]["at"]
    return Run(target, mine[-1]["why"], took, {}, mine)


def looks(lab: Context, name: str = "q") -> Table | Note:
    """The looks at the member that was changed last: those at which something was another than at the one before."""
    found = records(lab.world, name, "look")
    if not found:
        return Note("No member was looked at yet.")
    member, age = found[-1]["name"], found[-1]["age"]
    mine: list[Record] = []
    for each in reversed(found):
        if each["name"] != member or each["age"] > age:
            break
        mine, age = [each, *mine], each["age"]
    rows: list[tuple[str, ...]] = []
    for each in mine:
        lowest, highest = each["speaks"]
        answers = "no" if not each["id"] else "yes" if each["id"] == each["was"] else "as another member"
        told = (_yes(each["ready"]), answers, _yes(each["heard"]), _yes(each["caught_up"]))
        row = (*told, f"{lowest} to {highest}" if each["id"] else "-", _yes(each["has_share"]))
        if not rows or rows[-1][1:] != row:
            rows.append((f"{each['age']:.1f} s", *row))
    columns = ("Age", "Ready", "Answers", "Heard", "Caught up", "Speaks", "Has a share")
    return Table(f"{member}, after its Pod was made anew ({len(mine)} looks)", columns, rows)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
