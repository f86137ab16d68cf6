"""Raft in the storm: whole runs by seed, all invariants after each step, and what clients saw is linearizable.

`RAFT_SEEDS=200 pytest tests/quorum/raft/test_simulation.py` (or `make raft-seeds`) tries more of them.
"""

from __future__ import annotations

import os

import pytest

from labsupport.quorum.linearizability import check
from tests.quorum.raft.world import World

SEEDS = int(os.environ.get("RAFT_SEEDS", "2"))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("size", [3, 5, 7])
def test_nothing_is_lost_and_all_agree(size: int, seed: int) -> None:
    world = World(size, seed)
    world.run(2500)
    world.settle()
    verdict = check(world.history)
    assert verdict.linearizable, str(verdict)
    print(len(world.invariants.committed), "entries", len(world.history), "operations", world.happened)
