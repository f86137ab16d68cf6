"""The simulation can fail: operators that are wrong in one place each are found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from labsupport.operators.quorum_operator import founding, health, keys, plan, resizing, upgrading
from labsupport.operators.quorum_operator.actions import Bootstrap, Ceremony, DeletePod, Note, RemoveMember
from labsupport.operators.quorum_operator.health import Step
from labsupport.operators.quorum_operator.observed import Founder, Member, Observed, Upgrade
from labsupport.operators.quorum_operator.upgrading import Rules
from tests.operators.quorum import test_simulation
from tests.operators.quorum.world import World

Patch = pytest.MonkeyPatch


def forgets_what_it_decided(patch: Patch) -> None:
    """The first members are not written down before they are told."""

    def tell(seen: Observed) -> Step | None:
        waiting = [each for each in seen.members.values() if each.phase == "waiting"]
        founders = tuple(Founder(each.name, each.id, each.identity) for each in waiting)
        return Step(Bootstrap(waiting[0].name, founders), "", "") if len(waiting) > 1 else None

    patch.setattr(founding, "decide", lambda seen: None)
    patch.setattr(founding, "tell", tell)


def names_ceremonies_by_time(patch: Patch) -> None:
    """A repetition is another ceremony, and a key that is there counts for nothing."""

    def step(seen: Observed, head: Member, without: str = "") -> Step | None:
        if head.key.state == "running" or seen.now % 3:
            return None
        ids = tuple(each.id for each in head.voters)
        return Step(Ceremony(head.name, f"{seen.now}", keys.threshold(seen, head, len(ids)), ids), "", "")

    patch.setattr(keys, "step", step)


def restarts_without_looking(patch: Patch) -> None:
    """The next member is changed while the last one is still away."""
    patch.setattr(upgrading, "ailing", lambda seen, voters, but="": "")
    patch.setattr(
        upgrading,
        "_gate",
        lambda seen, head, upgrade, rules: (
            Step(DeletePod(upgrade.member, seen.pods[upgrade.member].uid), "", "")
            if seen.pods[upgrade.member].release != upgrade.target
            else Step(Note(replace(upgrade, member="")), "", "")
        ),
    )


def restarts_the_leader_as_any_other(patch: Patch) -> None:
    """Nobody takes over before the leader's Pod goes."""
    patch.setattr(upgrading, "heir", lambda seen, head, among: None)
    original = upgrading._roll

    def roll(seen: Observed, head: Member, upgrade: Upgrade, rules: Rules) -> Step:
        step = original(seen, head, upgrade, rules)
        if step.action is None and "take over" in step.message:
            return Step(DeletePod(head.name, seen.pods[head.name].uid), "", "")
        return step

    patch.setattr(upgrading, "_roll", roll)


def goes_on_after_a_failed_gate(patch: Patch) -> None:
    """Time that has run out is not noticed."""
    original = upgrading._gate
    patch.setattr(
        upgrading,
        "_gate",
        lambda seen, head, upgrade, rules: original(replace(seen, now=0.0), head, upgrade, rules),
    )


def takes_the_vote_before_the_share(patch: Patch) -> None:
    """Who leaves takes along the share that the others needed."""
    patch.setattr(resizing, "_share", lambda seen, head, leaving: None)


def removes_whoever_leads(patch: Patch) -> None:
    """A leader that is to leave is removed like any other member."""
    patch.setattr(
        resizing,
        "_vote",
        lambda seen, head, leaving, others: Step(RemoveMember(head.name, leaving.name, leaving.id), "", ""),
    )


def leaves_volumes_behind(patch: Patch) -> None:
    """Pods and volumes that nobody uses stay."""
    patch.setattr(resizing, "trim", lambda seen, head: None)


def takes_the_lost_for_the_old(patch: Patch) -> None:
    """A member on an empty volume counts as the one that it was."""
    patch.setattr(resizing, "replace", lambda seen, head: None)


def leads_the_last_ordinal(world: World) -> World:
    """The member that leaves is the one that leads."""
    world.members.head = next(key for key, name in world.members.voters.items() if name == "q-4")
    return world


MUTANTS: list[tuple[Callable[[Patch], None], str]] = [
    (forgets_what_it_decided, "bootstrap"),
    (names_ceremonies_by_time, "bootstrap"),
    (restarts_without_looking, "upgrade"),
    (restarts_the_leader_as_any_other, "upgrade"),
    (goes_on_after_a_failed_gate, "failed gate"),
    (takes_the_vote_before_the_share, "shrink"),
    (removes_whoever_leads, "shrink"),
    (leaves_volumes_behind, "shrink"),
    (takes_the_lost_for_the_old, "lost"),
]


def story(name: str) -> None:
    """One run of a story, without a crash and with one after each third write; errors as the simulation has them."""
    if name == "failed gate":
        world = test_simulation.failed_gate()
        world.settle()
        assert world.condition("UpgradeBlocked")["reason"] == "GateFailed"
        return
    make, size, release = test_simulation.STORIES[name]
    for after in (0, *range(1, 30, 3)):
        world = leads_the_last_ordinal(make()) if name == "shrink" else make()
        world.writes.crash_after = world.writes.count + after if after else 0
        world.settle(150)
        world.expect(size, release)
        assert world.longest == 0, "without a leader"


@pytest.mark.parametrize("name", [*test_simulation.STORIES, "failed gate"])
def test_the_operator_as_it_is_passes(name: str) -> None:
    story(name)


@pytest.mark.parametrize(("mutate", "name"), MUTANTS, ids=[each.__name__ for each, _ in MUTANTS])
def test_a_wrong_operator_is_found_out(
    mutate: Callable[[Patch], None], name: str, monkeypatch: Patch
) -> None:
    mutate(monkeypatch)
    with pytest.raises((AssertionError, KeyError, AttributeError)):
        story(name)


def test_mutants_are_of_what_is_used() -> None:
    assert health.ailing is resizing.ailing
    assert plan.founding is founding
