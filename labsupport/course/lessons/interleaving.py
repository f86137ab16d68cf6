"""Another writer who comes between a learner's read and write, in memory: for the exercise on conflicts in lab O2."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from labsupport.course.lessons.memory import MemoryApi, Object
from labsupport.course.lessons.shepherding import Finding

NAMESPACE, NAME = "field", "barn"
PLACE = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
OTHERS = 5  # kilos that the other writer adds each time
MOST = 60  # requests of one call, after which it is taken to go on for ever


class TooMany(BaseException):
    """The function asks and asks."""


@dataclass
class Barn:
    """A ConfigMap with so many kilos of wool, and another writer with a plan: what to do before which write."""

    kilos: int
    # "wool": adds some; "door": writes another key; "note": an annotation; "quiet": nothing. "crowd": so many write
    # that the server, which tries a few times by itself to bring a patch in, answers 409 to a patch as well.
    plan: list[str]
    refuse: int = 0  # a status with which every write is answered

    def __post_init__(self) -> None:
        self.server = MemoryApi({"configmaps": "ConfigMap"}, self._before)
        self.server.create(
            PLACE, {"metadata": {"name": NAME}, "data": {"kilos": str(self.kilos), "door": "shut"}}
        )
        self.log: list[str] = []
        self.door = "shut"
        self.notes: set[str] = set()
        self.met = 0
        self._asked = 0

    def _before(self, method: str, path: str) -> int | None:
        self._asked += 1
        if self._asked > MOST:
            raise TooMany
        if method == "GET":
            return None
        if self.refuse:
            return self.refuse
        what = self.plan.pop(0) if self.plan else "quiet"
        if what == "crowd":
            self.met += 1
            return 409
        if what != "quiet":
            self.met += 1
            self.server.change(f"{PLACE}/{NAME}", lambda each: self._other(each, what))
        return None

    def _other(self, each: Object, what: str) -> None:
        self.log.append(what)
        if what == "wool":
            each["data"]["kilos"] = str(int(each["data"]["kilos"]) + OTHERS)
        elif what == "door":
            self.door = each["data"]["door"] = f"open {self.met}"
        else:
            self.notes.add(f"note-{self.met}")
            each["metadata"].setdefault("annotations", {})[f"note-{self.met}"] = "x"

    def __str__(self) -> str:
        words = {
            "wool": "adds wool",
            "door": "opens the door",
            "note": "leaves a note",
            "crowd": "comes with a crowd, so that a write is refused for them",
            "quiet": "does nothing",
        }
        told = ", then ".join(words[each] for each in self.plan)
        return f"{self.kilos} kilos in the barn" + (f", and another writer who {told}" if told else "")


def barn(seed: int) -> Barn:
    """A situation that nobody has seen: the same one for the same seed; more writers come between for larger ones."""
    chance = random.Random(seed)
    count = min(seed, 1 + seed // 2, 6)
    kilos = chance.randint(0, 90)
    plan = [chance.choice(("wool", "wool", "door", "note")) for _ in range(count)]
    if seed % 4 == 3:
        plan.insert(chance.randint(0, count), "crowd")
    return Barn(kilos, plan)


def run_barn(function: Callable[..., Any], seed: int) -> Finding | None:
    """Judge a learner's function in one situation."""
    from kubernetes import client

    situation = barn(seed)
    about, kilos = f"The situation: {situation}.", 1 + seed % 5
    core = client.CoreV1Api(situation.server.client())
    try:
        function(core, NAMESPACE, NAME, kilos)
    except TooMany:
        return Finding(
            "never-succeeds",
            f"{about} The write was refused again and again, {MOST} requests long: "
            f"{situation.server.requests[-1]}. What it was based on was never read anew.",
        )
    except client.ApiException as error:
        if error.status == 409:
            return Finding("gives-up", f"{about} After conflict number {situation.met} the function gave up.")
        return Finding("refused", f"{about} The server answered {situation.server.requests[-1]}.")
    stored = situation.server.objects[f"{PLACE}/{NAME}"]
    data = stored.get("data") or {}
    total = situation.kilos + OTHERS * situation.log.count("wool") + kilos
    have = int(data["kilos"]) if str(data.get("kilos", "")).isdigit() else None
    lost = situation.notes - (stored["metadata"].get("annotations") or {}).keys()
    if data.get("door") != situation.door or lost:
        what = "an annotation" if lost else "data.door"
        return Finding("lost-field", f"{about} What the other writer wrote to {what} is gone.")
    if have is None:
        return Finding("not-a-number", f"{about} Afterwards data.kilos is {data.get('kilos')!r}.")
    if have != total:
        return Finding(
            "lost-update",
            f"{about} The function was to add {kilos}; afterwards data.kilos is {have}. "
            + (
                "What the other writer added is lost."
                if have == total - OTHERS * situation.log.count("wool") < total
                else "The sum is wrong."
            ),
        )
    return None


def run_refused(function: Callable[..., Any], status: int) -> Finding | None:
    """Judge a learner's function where writes are refused for another reason than a conflict."""
    from kubernetes import client

    situation = Barn(10, [], refuse=status)
    core = client.CoreV1Api(situation.server.client())
    try:
        function(core, NAMESPACE, NAME, 1)
    except TooMany:
        return Finding(
            "retries-everything", f"Each write was refused with {status}, and the function tried for ever."
        )
    except client.ApiException:
        return None
    return Finding(
        "swallows", f"Each write was refused with {status}, and the function returned as if all were well."
    )


def run_barns(function: Callable[..., Any], seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong in the situations of `seeds`, or in being refused, or None."""
    for seed in seeds:
        if wrong := run_barn(function, seed):
            return wrong
    return run_refused(function, 403)
