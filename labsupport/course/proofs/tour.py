"""From each lab to each other one: how long `lab.start` takes, whichever lab it comes from."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from labsupport.course.manifest import Lab
from labsupport.course.worlds.world import World, start

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def pairs(
    api: ApiClient, labs: Sequence[Lab], used: Callable[[World], None] = lambda world: None
) -> Iterator[tuple[Lab, Lab, float]]:
    """Start the labs one after another so that each follows each, itself too, just once: from, to, and seconds.

    What stands in the cluster is the lab before; `used` may do to each lab what a learner would, before it is left (its
    time does not count). Errors as `world.start`.
    """
    before: Lab | None = None
    for lab in order(labs):
        world = World(api, lab)
        began = time.monotonic()
        start(world)
        seconds = time.monotonic() - began
        if before is not None:
            yield before, lab, seconds
        used(world)
        before = lab


def order(labs: Sequence[Lab]) -> list[Lab]:
    """The labs in an order in which each pair of neighbours occurs once: an Eulerian circuit of the complete graph
    (Hierholzer's algorithm).
    """
    left = {lab.id: list(labs) for lab in labs}
    path, done = [labs[0]] if labs else [], []
    while path:
        if onward := left[path[-1].id]:
            path.append(onward.pop())
        else:
            done.append(path.pop())
    return done[::-1]
