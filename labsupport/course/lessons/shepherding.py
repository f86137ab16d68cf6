"""Flocks in every state that hands and accidents can bring about, and what a reconcile function makes of them.

A flock wants `size` sheep: ConfigMaps named <flock>-0 and so on, with the flock's colour in data.colour, the label
`flock`, and the flock as their controlling owner. Used by lab O2's checks, in memory and on the cluster.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from labsupport.course.lessons.memory import Killed, MemoryApi, Object

GROUP = "pasture.example/v1"
NAMESPACE = "field"
SHEEP = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
FLOCKS = f"/apis/{GROUP}/namespaces/{NAMESPACE}/flocks"
KINDS = {"configmaps": "ConfigMap", "flocks": "Flock"}
COLOURS = ("white", "black", "brown", "grey")
MOST = 40  # requests of one reconcile, after which it is taken to go on for ever
# What can have become of a sheep's place, and how often it does.
FATES = {
    **{"there": 4, "missing": 3, "dyed": 2, "unlabelled": 2, "unowned": 2, "bare": 2},
    "uncontrolled": 2,  # its flock owns it, and does not control it
}


@dataclass(frozen=True)
class Finding:
    """What is wrong with a flock: a stable id, and what was seen."""

    problem: str
    text: str


def sheep_of(flock: Object, number: int) -> Object:
    """The sheep that a flock wants under a number."""
    metadata = flock["metadata"]
    owner = {
        "apiVersion": flock["apiVersion"],
        "kind": "Flock",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{metadata['name']}-{number}",
            "labels": {"flock": metadata["name"]},
            "ownerReferences": [owner | {"controller": True}],
        },
        "data": {"colour": flock["spec"].get("colour", "white")},
    }


def judge(flock: Object, found: Iterable[Object]) -> Finding | None:
    """What is wrong with the sheep of a flock among the ConfigMaps `found` of its namespace, or None."""
    name, uid, size = flock["metadata"]["name"], flock["metadata"]["uid"], flock["spec"]["size"]
    by_name = {each["metadata"]["name"]: each for each in found}
    wanted = [sheep_of(flock, number) for number in range(size)]
    names = {each["metadata"]["name"] for each in wanted}
    if missing := sorted(names - by_name.keys()):
        return Finding("missing", f"Flock {name} wants {size} sheep, and {', '.join(missing)} is not there.")
    extra = sorted(each for each, stored in by_name.items() if _owned(stored, uid) and each not in names)
    if extra:
        return Finding(
            "extra", f"Flock {name} wants {size} sheep, and there are more of its own: {', '.join(extra)}."
        )
    for each in wanted:
        stored = by_name[each["metadata"]["name"]]
        if (stored.get("data") or {}).get("colour") != each["data"]["colour"]:
            return Finding(
                "dyed",
                f"{each['metadata']['name']} has data.colour {(stored.get('data') or {}).get('colour')}, and its flock "
                f"has another colour.",
            )
        if (stored["metadata"].get("labels") or {}).get("flock") != name:
            return Finding("label", f"{each['metadata']['name']} has lost its label flock.")
        if not any(
            owner["uid"] == uid
            and owner.get("controller")
            and owner["kind"] == "Flock"
            and owner["name"] == name
            for owner in stored["metadata"].get("ownerReferences") or []
        ):
            return Finding(
                "owner", f"{each['metadata']['name']} has no controlling owner reference to its Flock."
            )
    return None


def _owned(stored: Object, uid: str) -> bool:
    """Whether the owner of that uid controls the object: then it is a sheep of that flock."""
    return any(
        owner["uid"] == uid and owner.get("controller")
        for owner in stored["metadata"].get("ownerReferences") or []
    )


def _dependent(flock: Object) -> Object:
    owner = sheep_of(flock, 0)["metadata"]["ownerReferences"][0]
    return {key: value for key, value in owner.items() if key != "controller"}


class State:
    """A namespace in memory: a flock in some state, its bell, which is no sheep, another flock, and a stranger."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.fail_at = -1  # which write of a run is refused, from 0
        self._asked = self._writes = 0
        self.server = MemoryApi(KINDS, self._before)
        name = chance.choice(("hill", "moor", "lea"))
        # A new flock first, then small ones in some disorder, each fate at least once, then larger and empty ones.
        spec: Object = {
            "size": 2 if seed == 0 else min(seed, chance.randint(seed < len(FATES), 6)),
            "colour": chance.choice(COLOURS[1:]),
        }
        self.flock = self._flock(name, spec)
        self.other = self._flock("meadow", {"size": 2, "colour": "white"})
        for number in range(2):
            self.server.create(SHEEP, sheep_of(self.other, number))
        stranger = sheep_of(self.other, 9)
        stranger["metadata"] |= {"name": f"{name}-wolf", "labels": {"flock": name}}
        self.server.create(SHEEP, stranger)
        bell = sheep_of(self.flock, 0)  # depends on the flock, and is no sheep
        bell["metadata"] |= {"name": f"{name}-bell", "ownerReferences": [_dependent(self.flock)]}
        self.server.create(SHEEP, bell)
        self.fates = []
        for number in range(spec["size"]):
            fate = chance.choices([*FATES], weights=[*FATES.values()])[0] if seed else "missing"
            if number == 0 and 0 < seed < len(FATES):
                fate = [*FATES][seed]
            self._put(number, fate)
            if fate != "there":
                self.fates.append(f"{name}-{number} {fate}")
        for number in range(spec["size"], spec["size"] + 2):
            if seed and chance.random() < 0.5:
                self._put(number, "there" if seed < 8 else chance.choice(("there", "unlabelled")))
                self.fates.append(f"{name}-{number} too many")

    def _flock(self, name: str, spec: Object) -> Object:
        document = {"apiVersion": GROUP, "kind": "Flock", "metadata": {"name": name}, "spec": spec}
        return self.server.create(FLOCKS, document)

    def _put(self, number: int, fate: str) -> None:
        if fate == "missing":
            return
        sheep = sheep_of(self.flock, number)
        if fate == "dyed":
            sheep["data"]["colour"] = "pink"
        if fate in ("unlabelled", "bare"):
            del sheep["metadata"]["labels"]
        if fate in ("unowned", "bare"):
            del sheep["metadata"]["ownerReferences"]
        if fate == "uncontrolled":
            sheep["metadata"]["ownerReferences"] = [_dependent(self.flock)]
        if fate == "bare":
            del sheep["data"]
        self.server.create(SHEEP, sheep)

    def __str__(self) -> str:
        spec = self.flock["spec"]
        words = f"a flock {self.flock['metadata']['name']} of size {spec['size']} and colour {spec['colour']}"
        return f"{words} ({', '.join(self.fates) or 'all of its sheep as they should be'})"

    def _before(self, method: str, path: str) -> int | None:
        self._asked += 1
        if self._asked > MOST:
            raise Killed
        if method == "GET":
            return None
        self._writes += 1
        return 500 if self._writes - 1 == self.fail_at else None

    def run(self, function: Callable[..., Any]) -> Exception | None:
        """One reconcile; returns what it raised because of an answer of the server's."""
        from kubernetes import client

        self._asked = self._writes = 0
        core = client.CoreV1Api(self.server.client())
        try:
            function(core, copy.deepcopy(self.flock))
        except client.ApiException as error:
            return error
        return None

    def sheep(self) -> list[Object]:
        """The ConfigMaps as they are now."""
        return self.server.items(SHEEP)


def run_state(function: Callable[..., Any], seed: int) -> Finding | None:
    """Judge a learner's function on one state: once, once more, and after a write that was refused half-way."""
    state = State(seed)
    before = {each["metadata"]["name"]: each for each in state.sheep()}
    right = {
        name
        for name, each in before.items()
        if name.endswith(("-wolf", "-bell")) or _owned(each, state.other["metadata"]["uid"])
    }
    fine = _fine(state.flock, before)
    about = f"The state was {state}."
    try:
        error = state.run(function)
    except Killed:
        return Finding(
            "endless-requests", f"{about} After {MOST} requests the function still asked for more."
        )
    if error is not None:
        last = state.server.requests[-1]
        return Finding(
            "refused", f"{about} The server answered {last}, and the function did not expect that."
        )
    after = {each["metadata"]["name"]: each for each in state.sheep()}
    for name in sorted(right):
        if after.get(name) != before[name]:
            done = "was deleted" if name not in after else "was changed"
            return Finding("stranger", f"{about} {name}, which this Flock does not control, {done}.")
    if wrong := judge(state.flock, state.sheep()):
        return Finding(wrong.problem, f"{about} Afterwards: {wrong.text}")
    for name in sorted(fine):
        if after[name]["metadata"]["resourceVersion"] != before[name]["metadata"]["resourceVersion"]:
            return Finding(
                "rewrites", f"{about} {name} was as it should be, and was written or made anew all the same."
            )
    count = len(state.server.requests)
    try:
        error = state.run(function)
    except Killed:
        return Finding("endless-requests", f"{about} In the second run the function asked on for ever.")
    if error is not None:
        last = state.server.requests[-1]
        return Finding(
            "refused",
            f"{about} In the second run the server answered {last}, and the function did not expect that.",
        )
    if again := [each for each in state.server.requests[count:] if each.writes]:
        return Finding(
            "writes-again",
            f"{about} Nothing was left to do, and the second run still sent {len(again)} "
            f"write{'s' if len(again) > 1 else ''}, the first of them {again[0]}.",
        )
    return _interrupted(function, seed, sum(each.writes for each in state.server.requests[:count]))


def _fine(flock: Object, before: dict[str, Object]) -> set[str]:
    wanted = [sheep_of(flock, number) for number in range(flock["spec"]["size"])]
    return {
        each["metadata"]["name"]
        for each in wanted
        if (stored := before.get(each["metadata"]["name"]))
        and stored.get("data") == each["data"]
        and stored["metadata"].get("labels") == each["metadata"]["labels"]
        and stored["metadata"].get("ownerReferences") == each["metadata"]["ownerReferences"]
    }


def _interrupted(function: Callable[..., Any], seed: int, writes: int) -> Finding | None:
    """The same state, and its middle write refused: what is left must be done by the next run."""
    if not writes:
        return None
    state = State(seed)
    state.fail_at = writes // 2
    try:
        state.run(function)
        state.fail_at = -1
        error = state.run(function)
    except Killed:
        return Finding(
            "endless-requests",
            f"The state was {state}. One write was refused with 500, and the function asked on for ever.",
        )
    wrong = judge(state.flock, state.sheep())
    if wrong or error:
        text = wrong.text if wrong else f"the function raised again: {state.server.requests[-1]}"
        return Finding(
            "stuck-after-failure",
            f"The state was {state}. One write was refused with 500, and a second run did not finish the work: {text}",
        )
    return None


def run_states(function: Callable[..., Any], seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong in the states of `seeds`, or None."""
    for seed in seeds:
        if wrong := run_state(function, seed):
            return wrong
    return None
