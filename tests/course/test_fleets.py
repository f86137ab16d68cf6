"""Lab O5's histories in memory: the right order passes, and each thing that can be wrong with one is found."""

from __future__ import annotations

from collections import Counter

import pytest

from labsupport.course.lessons import fleets
from labsupport.operators.fleet import Change, Done, HandOver, Member, Step, Wait

SEEDS = range(60)


def order(members: list[Member], wanted: str) -> Step:
    ailing = [each for each in members if each.trouble]
    behind = [each for each in members if each.release != wanted]
    if not any(each.leads for each in members) or len(ailing) > 1:
        return Wait()
    if ailing:
        return Change(ailing[0].name) if ailing[0] in behind and ailing[0].release else Wait()
    if not behind:
        return Done()
    followers = [each for each in behind if not each.leads]
    if followers:
        return Change(followers[-1].name)
    return HandOver(next(each.name for each in members if not each.leads))


def test_the_right_order_passes_and_each_history_ends() -> None:
    assert fleets.run_order(order, SEEDS) is None


def test_histories_hold_what_they_promise() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS:
        fleet, wanted = fleets.Fleet(seed), set()
        for _ in range(fleets.SECONDS):
            step = order(fleet.members(), fleet.wanted)
            wanted.add(fleet.wanted)
            seen[type(step).__name__] += 1
            seen["no leader"] += not any(each.leads for each in fleet.members())
            seen["two ail"] += sum(bool(each.trouble) for each in fleet.members()) > 1
            if isinstance(step, Done):
                break
            fleet.do(step)
            fleet.second()
        assert isinstance(step, Done)
        seen["changes of mind"] += len(wanted) > 1
    assert all(
        seen[each] > 5 for each in ("Change", "HandOver", "Wait", "no leader", "two ail", "changes of mind")
    )


A, B, C = Member("q-0", "1.0", True), Member("q-1", "1.0"), Member("q-2", "1.1")
DOWN = Member("q-1", "1.0", False, "it does not answer")


@pytest.mark.parametrize(
    ("members", "step", "problem"),
    [
        ([A, B, C], "change q-1", "no-step"),
        ([A, B, C], None, "no-step"),
        ([A, B, C], Change("q-9"), "no-member"),
        ([A, B, C], Change("q-2"), "again"),
        ([A, Member("q-1", "", False, fleets.GONE), C], Change("q-1"), "again"),
        ([A, B, C], Change("q-0"), "leader-restarted"),
        ([A, B, Member("q-2", "1.1", False, "it is behind")], Change("q-1"), "two-down"),
        ([A, Member("q-1", "1.1", False, "it is behind"), C], HandOver("q-2"), "two-down"),
        ([A, Member("q-1", "1.1", False, "it is behind"), C], HandOver("q-1"), "heir"),
        ([A, Member("q-1", "1.1"), C], HandOver("q-0"), "heir"),
        ([A, B, C], HandOver("q-2"), "leader-early"),
        ([Member("q-0", "1.0"), B, C], Change("q-1"), "no-leader"),
        ([A, B, C], Wait(), "waits"),
        ([A, Member("q-1", "1.1"), C], Wait(), "waits"),
        ([A, DOWN, C], Wait(), "waits-for-the-old"),
        ([Member("q-0", "1.1", True), Member("q-1", "1.1"), C], Wait(), "never-done"),
        ([A, B, C], Done(), "done-early"),
        ([Member("q-0", "1.1", True), Member("q-1", "1.1", False, "it is behind"), C], Done(), "done-early"),
    ],
)
def test_each_wrong_step_is_named(members: list[Member], step: object, problem: str) -> None:
    found = fleets.judge(members, "1.1", step)
    assert found is not None
    assert found.problem == problem


@pytest.mark.parametrize(
    ("members", "step"),
    [
        ([A, B, C], Change("q-1")),
        ([A, DOWN, C], Change("q-1")),
        ([A, Member("q-1", "1.1"), C], HandOver("q-2")),
        ([A, DOWN, Member("q-2", "1.1", False, "it is behind")], Wait()),
        ([Member("q-0", "1.0"), B, C], Wait()),
        ([Member("q-0", "1.1", True), Member("q-1", "1.1"), C], Done()),
    ],
)
def test_each_right_step_passes(members: list[Member], step: Step) -> None:
    assert fleets.judge(members, "1.1", step) is None


def test_an_operator_that_remembers_is_found_out() -> None:
    changed: set[str] = set()

    def remembers(members: list[Member], wanted: str) -> Step:
        step = order(members, wanted)
        if isinstance(step, Change):
            if step.name in changed:
                return Wait()
            changed.add(step.name)
        return step

    assert fleets.run_order(remembers, SEEDS) is not None
