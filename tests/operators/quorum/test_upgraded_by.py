"""Upgrades by another program's rules: the operator leaves them alone, the host of lab O5 makes them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from labsupport.operators import upgrader
from labsupport.operators.fleet import Change, Done, HandOver, Look, Member, Step, Wait
from labsupport.operators.quorum_operator import kinds, names, parse
from labsupport.operators.upgrader import Learners, Round, Unusable, once
from tests.operators.quorum.fakes import NAMESPACE
from tests.operators.quorum.world import World, founded


def ordered(members: list[Member], wanted: str) -> Step:
    behind = [each for each in members if each.release != wanted]
    if any(each.trouble for each in members):
        return Wait()
    if not behind:
        return Done()
    if followers := [each for each in behind if not each.leads]:
        return Change(followers[0].name)
    return HandOver(next(each.name for each in members if not each.leads))


def by_ordinal(members: list[Member], wanted: str) -> Step:
    behind = [each for each in members if each.release != wanted]
    if any(each.trouble for each in members):
        return Wait()
    return Change(behind[-1].name) if behind else Done()


def left(release: str = "1.1", **annotations: str) -> World:
    world = founded(size=3)
    world.object["metadata"]["annotations"] = {names.UPGRADED_BY: "me", **annotations}
    world.edit(release=release)
    return world


def go(world: World, learners: Learners, rounds: int = 100) -> list[Round]:
    """Seconds with both programs at work, until nothing has happened for a while."""
    found: list[Round] = []
    for _ in range(rounds):
        world.tick()
        world.round()
        seen = parse.quorum({"kind": "Quorum", **world.api.get(kinds.QUORUMS, NAMESPACE, "q")})  # type: ignore[dict-item]
        done = once(world.api, world.members, seen, learners)
        if not found or found[-1] != done:
            found.append(done)
        world.check()
    return found


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], None]:
    def follow(world: World) -> None:
        monkeypatch.setattr(upgrader.time, "time", lambda: world.api.now)

    return follow


def test_the_operator_does_nothing_about_an_upgrade_that_is_anothers_and_says_so() -> None:
    world = left()
    before = [each for each in world.writes.log if not each.startswith("patch Quorum")]
    for _ in range(20):
        world.tick()
        world.round()
    assert [each for each in world.writes.log if not each.startswith("patch Quorum")] == before
    said = world.condition("Progressing")
    assert (said["status"], said["reason"]) == ("True", "Upgrading")
    assert "left to me" in said["message"]


def test_a_learners_order_makes_the_upgrade(clock: Callable[[World], None]) -> None:
    world = left()
    clock(world)
    rounds = go(world, Learners(ordered))
    world.expect(3, "1.1")
    assert world.longest == 0
    assert world.members.protocol == 2
    deleted = [each for each in rounds if each.deletes]
    assert sorted(each.deletes for each in deleted) == ["q-0", "q-1", "q-2"]
    assert all(each.leader != each.deletes for each in deleted)


def test_a_careless_order_is_carried_out(clock: Callable[[World], None]) -> None:
    world = left()
    clock(world)
    world.members.head = max(world.members.alive())  # q-2: it comes first by its ordinal
    rounds = go(world, Learners(by_ordinal))
    assert any(each.deletes == each.leader for each in rounds if each.deletes)
    assert world.longest > 0
    world.expect(3, "1.1")


def test_a_protocol_that_is_held_leaves_a_way_back(clock: Callable[[World], None]) -> None:
    world = left(**{names.PROTOCOL: "hold"})
    clock(world)
    go(world, Learners(ordered))
    world.expect(3, "1.1")
    assert world.members.protocol == 1
    world.edit(release="1.0")
    go(world, Learners(ordered))
    world.expect(3, "1.0")


def test_a_gate_sees_each_look_and_its_word_counts(clock: Callable[[World], None]) -> None:
    world = left()
    clock(world)
    seen: list[list[Look]] = []

    def gate(looks: list[Look], limit: float) -> str:
        seen.append(looks)
        return "back" if looks[-1].age >= limit else "wait"

    go(world, Learners(ordered, gate))
    assert world.condition("UpgradeBlocked")["reason"] == "GateFailed"
    assert world.object["status"]["release"] == "1.0"
    ages = [each.age for each in seen[-1]]
    assert ages == sorted(ages)
    assert ages[-1] == 10
    assert seen[-1][-1].ready
    assert seen[-1][-1].has_share


@pytest.mark.parametrize("answer", [None, "change q-0", Change("q-9")])
def test_what_is_no_step_is_refused(answer: Any, clock: Callable[[World], None]) -> None:
    world = left()
    clock(world)
    with pytest.raises(Unusable):
        go(world, Learners(lambda members, wanted: answer))


def test_a_template_that_was_put_back_is_changed_again(clock: Callable[[World], None]) -> None:
    """Or the member that was chosen would be made of the old release for ever."""
    world = left()
    clock(world)
    learners = Learners(ordered)
    go(world, learners, rounds=2)  # the template is changed, and nobody yet
    old = founded(size=3).api.get(kinds.STATEFULSETS, NAMESPACE, "q")
    assert old is not None
    while not world.object["status"]["upgrade"]["member"]:
        go(world, learners, rounds=1)
    world.api.apply(kinds.STATEFULSETS, NAMESPACE, old)
    go(world, learners)
    world.expect(3, "1.1")


def test_a_release_that_another_gives_the_statefulset_while_the_operator_looks_is_left_to_it() -> None:
    world = left()
    before = world.api.get(kinds.STATEFULSETS, NAMESPACE, "q")
    original = world.api.get

    def get(kind: kinds.Kind, namespace: str, name: str) -> Any:
        found = original(kind, namespace, name)
        if kind is kinds.SERVICES:  # they are looked at between
            label = {names.RELEASE: "1.1"}
            changed = with_label(before, label)
            world.api.objects[kinds.STATEFULSETS.plural, NAMESPACE, "q"] = changed
        return found

    world.api.get = get  # type: ignore[method-assign]
    world.round()
    now = original(kinds.STATEFULSETS, NAMESPACE, "q")
    assert now is not None
    assert now["spec"]["template"]["metadata"]["labels"][names.RELEASE] == "1.1"


def with_label(content: Any, label: dict[str, str]) -> Any:
    """A StatefulSet with another release in its template, as somebody applies it."""
    made = copy.deepcopy(content)
    made["spec"]["template"]["metadata"]["labels"] |= label
    made["metadata"]["annotations"] = {names.APPLIED: "another"}
    return made
