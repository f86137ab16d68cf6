"""The operator in the fake world: rounds until nothing is due, crashes, and what must hold at every moment."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from labsupport.operators.quorum_operator import kinds
from labsupport.operators.quorum_operator.reconcile import Round, reconcile
from tests.operators.quorum.fakes import (
    NAMESPACE,
    Crash,
    FakeApi,
    FakeMembers,
    StatefulSetController,
    Writes,
    quorum,
)

Object = dict[str, Any]


class Broken(AssertionError):
    """Something that must always hold did not."""


class World:
    """One Quorum, its members and the operator."""

    def __init__(self, **spec: Any) -> None:
        self.writes = Writes()
        self.api = FakeApi(self.writes)
        self.members = FakeMembers(self.api, self.writes)
        self.controller = StatefulSetController(self.api, self.members)
        self.api.put(kinds.QUORUMS, NAMESPACE, quorum(**spec))
        self.crashes = self.leaderless = self.longest = 0
        self.founded = False
        self.hurt: set[str] = set()  # members that are down by the test's doing
        self.last: Round | None = None
        self.events: list[str] = []

    @property
    def object(self) -> Object:
        return self.api.objects[kinds.QUORUMS.plural, NAMESPACE, "q"]

    def edit(self, **spec: Any) -> None:
        """A user changes the spec."""
        self.object["spec"].update(spec)
        self.object["metadata"]["generation"] += 1

    def condition(self, of: str) -> Object:
        return next(each for each in self.object["status"]["conditions"] if each["type"] == of)

    def tick(self) -> None:
        """A second of everything but the operator; then what must always hold is looked at."""
        self.api.now += 1
        self.controller.tick()
        self.members.tick()
        self.check()

    def check(self) -> None:
        members = self.members
        if len(members.ceremonies) > 1:
            raise Broken(f"{len(members.ceremonies)} keys were made")
        if not members.voters:
            return
        down = {name for number, name in members.voters.items() if not members.runs(number, name)}
        if self.founded and len(down - self.hurt) > 1:
            raise Broken(f"{', '.join(sorted(down))} are down by the operator's doing")
        if self.founded and not members.has_quorum() and len(self.hurt) <= (len(members.voters) - 1) // 2:
            raise Broken("no quorum")
        self.founded = self.founded or bool(members.head)
        self.leaderless = 0 if members.head or not self.founded else self.leaderless + 1
        self.longest = max(self.longest, self.leaderless)

    def round(self) -> bool:
        """One round of the operator; whether it wrote anything."""
        found = self.api.get(kinds.QUORUMS, NAMESPACE, "q")
        if found is None:
            return False
        found = {"apiVersion": "quorum.labs.example/v1", "kind": "Quorum", **found}
        before = self.writes.count
        try:
            self.last = reconcile(
                self.api, self.members, found, "CA", lambda quorum: ("client", "admin"), lambda: self.api.now
            )
            if self.last.plan.finished:
                del self.api.objects[kinds.QUORUMS.plural, NAMESPACE, "q"]
        except Crash:
            self.crashes += 1
        self.check()
        return self.writes.count > before

    def settle(self, rounds: int = 400, until: Callable[[], bool] = lambda: False) -> int:
        """Rounds until the operator has had nothing to write for a while, or `until`; how many. Errors: Broken."""
        quiet = 0
        for each in range(rounds):
            self.tick()
            wrote = self.round()
            if until():
                return each
            quiet = 0 if wrote or (self.last and self.last.plan.step) else quiet + 1
            if quiet > 5:
                return each
        raise Broken(f"still at work after {rounds} rounds: {self.last and self.last.plan.step}")

    def lose(self, ordinal: int) -> None:
        """A member's volume is gone; its Pod comes back on an empty one."""
        pod, claim = f"q-{ordinal}", f"data-q-{ordinal}"
        self.hurt.add(pod)
        self.api.objects.pop((kinds.PODS.plural, NAMESPACE, pod))
        self.api.objects.pop((kinds.CLAIMS.plural, NAMESPACE, claim))

    def expect(self, size: int, release: str = "1.0") -> None:
        """The Quorum is as it should be, and says so."""
        status, members = self.object["status"], self.members
        assert sorted(members.voters.values()) == [f"q-{each}" for each in range(size)]
        assert len(members.ceremonies) == 1
        assert members.key["state"] == "ready"
        assert sorted(members.key["holders"]) == sorted(members.voters.values())
        assert all(members.volume(each).epoch == members.key["epoch"] for each in members.voters.values())
        assert len(self.api.of(kinds.PODS)) == len(self.api.of(kinds.CLAIMS)) == size
        assert {
            each["metadata"]["labels"]["quorum.labs.example/release"] for each in self.api.of(kinds.PODS)
        } == {release}
        assert status["release"] == release
        assert "upgrade" not in status
        assert status["observedGeneration"] == self.object["metadata"]["generation"]
        said = {each["type"]: each["status"] for each in status["conditions"]}
        wanted = {"Available": "True", "Progressing": "False", "Degraded": "False", "KeyReady": "True"}
        assert said == wanted | {"UpgradeBlocked": "False"}


_FOUNDED: dict[str, bytes] = {}


def founded(**spec: Any) -> World:
    """A Quorum that is as it should be; each call another one, made once for each spec."""
    key = repr(sorted(spec.items()))
    if key not in _FOUNDED:
        world = World(**spec)
        world.settle()
        world.last = None
        _FOUNDED[key] = pickle.dumps(world)
    made: World = pickle.loads(_FOUNDED[key])
    return made
