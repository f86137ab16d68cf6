"""An operator that lost its Lease while a write was on its way: the write arrives late, when another has gone on.

The Lease cannot rule that out (labsupport/kube/lease.py), so every action must be harmless then.
"""

from __future__ import annotations

import contextlib

import pytest

from labsupport.operators.quorum_operator.act import act
from labsupport.operators.quorum_operator.kinds import Conflict
from labsupport.operators.quorum_operator.observe import Later, Refused
from tests.operators.quorum.test_simulation import STORIES
from tests.operators.quorum.world import World


def late(world: World, number: int, delay: int) -> bool:
    """Play the story; the action of round `number` is done once more `delay` rounds later. False: there is none."""
    for _ in range(number):
        world.tick()
        world.round()
    done = world.last
    if done is None or done.plan.step is None or done.plan.step.action is None:
        return False
    for _ in range(delay):
        world.tick()
        world.round()
    with contextlib.suppress(Conflict, Later, Refused, KeyError):
        act(world.api, world.members, done.seen, done.plan.step.action)
    world.check()
    return True


@pytest.mark.parametrize("name", STORIES)
def test_a_write_that_comes_late_harms_nobody(name: str) -> None:
    make, size, release = STORIES[name]
    for number in range(1, 40):
        world = make()
        if late(world, number, 3):
            world.settle()
            world.expect(size, release)
            assert world.longest == 0, number
