"""The proof can fail: with one rule broken, the storm (or the schedule of a paper's figure) finds it."""

from __future__ import annotations

import pytest

from labsupport.quorum.linearizability import check
from tests.quorum.raft.mutants import BY_SCHEDULE, MUTANTS, Mutant, broken
from tests.quorum.raft.world import World

SEEDS = 40  # as many are tried before the proof is held for blind


def first_found(mutant: Mutant) -> str:
    """What the first seed that finds it says; empty if none does."""
    for seed in range(SEEDS):
        world = World(mutant.sizes[seed % len(mutant.sizes)], seed, mutant.faults)
        try:
            world.run(2500)
            world.settle()
        except AssertionError as violated:
            return str(violated)
        verdict = check(world.history)
        if not verdict.linearizable:
            return str(verdict)
    return ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_rule_is_found(mutant: Mutant) -> None:
    with broken(mutant):
        found = first_found(mutant)
    assert mutant.seen in found


@pytest.mark.parametrize(("mutant", "test"), BY_SCHEDULE, ids=lambda item: getattr(item, "name", ""))
def test_a_broken_rule_that_chance_seldom_meets_is_found_by_its_schedule(mutant: Mutant, test) -> None:  # type: ignore[no-untyped-def]
    test()
    with broken(mutant), pytest.raises((AssertionError, pytest.fail.Exception)):
        test()
