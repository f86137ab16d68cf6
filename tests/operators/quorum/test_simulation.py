"""The operator dies after its k-th write, for every k: the next one goes on, and nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.operators.quorum.world import World, founded

Story = Callable[[], World]


def bootstrap() -> World:
    return World(size=3)


def grow() -> World:
    world = founded(size=3)
    world.edit(size=5)
    return world


def shrink() -> World:
    world = founded(size=5, threshold=5)
    world.edit(size=3, threshold=2)
    return world


def upgrade() -> World:
    world = founded(size=3)
    world.edit(release="1.1")
    return world


def failed_gate() -> World:
    world = founded(size=3)
    world.edit(release="1.1-broken")
    return world


def lost() -> World:
    world = founded(size=5)
    world.lose(2)
    return world


STORIES = {
    "bootstrap": (bootstrap, 3, "1.0"),
    "grow": (grow, 5, "1.0"),
    "shrink": (shrink, 3, "1.0"),
    "upgrade": (upgrade, 3, "1.1"),
    "lost": (lost, 5, "1.0"),
}


def writes(make: Story) -> int:
    world = make()
    before = world.writes.count
    world.settle()
    return world.writes.count - before


@pytest.mark.parametrize("name", STORIES)
def test_whichever_write_is_the_last_one_of_an_operator_the_next_one_finishes(name: str) -> None:
    make, size, release = STORIES[name]
    total = writes(make)
    assert total > 5
    for each in range(1, total + 1):
        world = make()
        world.writes.crash_after = world.writes.count + each
        world.settle()
        assert world.crashes == 1, each
        world.expect(size, release)
        assert world.longest == 0, f"without a leader for {world.longest} s, crash after {each}"


def test_a_member_that_is_not_well_in_time_is_rolled_back_whichever_write_is_the_last() -> None:
    for each in range(1, writes(failed_gate) + 1):
        world = failed_gate()
        world.writes.crash_after = world.writes.count + each
        world.settle()
        assert world.crashes == 1
        assert world.condition("UpgradeBlocked")["reason"] == "GateFailed"
        assert world.condition("Available")["status"] == "True"
        assert world.object["status"]["release"] == "1.0"
        assert world.longest == 0
