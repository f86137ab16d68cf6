"""`labs bench quorum --faults`: what a Quorum does when things break under load; what was confirmed must be there."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport.cluster.quorumbench.results import describe, keep, read, summary

if TYPE_CHECKING:
    from labsupport.cluster.quorumbench.place import Place

__all__ = ["describe", "measure", "names"]
QUIET = 3.0  # seconds of load before a fault, and after it


def names() -> list[str]:
    """Of all faults, in the order in which they are done."""
    from labsupport.cluster.quorumbench import kills
    from labsupport.cluster.quorumbench.faults import DISK_FAULTS, FAULTS

    return [*FAULTS, *DISK_FAULTS, *map(kills.name_of, kills.PHASES)]


def measure(faults: Sequence[str] = (), runs: int = 1, resume: Path | None = None) -> dict[str, Any]:
    """Each of the faults (all, if none is named) `runs` times, on a cluster of its own; each death of an operator once.

    `resume`: a file to which each run is added as it ends; what is in it already is not done again.
    """
    from labsupport.cluster.quorumbench import kills
    from labsupport.cluster.quorumbench.place import place

    done = read(resume)
    have = {(each["name"], each["run"]) for each in done}
    wanted = list(faults or names())
    phases = [each for each in kills.PHASES if kills.name_of(each) in wanted]
    usual = [each for each in wanted if each not in map(kills.name_of, phases)]
    left = [(name, run) for run in range(runs) for name in usual if (name, run) not in have]
    if left or kills.due(phases, done):
        with place() as here:
            for found in itertools.chain(_broken(here, left), kills.runs(here, phases, done)):
                keep(found, resume)
                done.append(found)
    return {"faults": [summary(name, done) for name in wanted]}


def _broken(here: Place, left: Sequence[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    """One result after another: first on a Quorum of three, then on one with small disks."""
    from labsupport.cluster.quorumbench import smalldisk
    from labsupport.cluster.quorumbench.faults import DISK_FAULTS, FAULTS
    from labsupport.cluster.quorumbench.place import USUAL

    if any(name in FAULTS for name, _ in left):
        here.make(USUAL)
        yield from _each(here, FAULTS, left)
        here.remove()
    if any(name in DISK_FAULTS for name, _ in left):
        small = replace(here, name="small")
        smalldisk.prepare(small)
        small.make(smalldisk.SPEC)
        yield from _each(small, DISK_FAULTS, left)
        small.remove()
        smalldisk.discard(small)


def _each(
    here: Place, faults: dict[str, Callable[[Place], None]], left: Sequence[tuple[str, int]]
) -> Iterator[dict[str, Any]]:
    here.settle()
    for name, run in left:
        if name in faults:
            yield {"name": name, "run": run} | _one(here, faults[name])


def _one(here: Place, fault: Callable[[Place], None]) -> dict[str, Any]:
    from labsupport.cluster.quorumbench import load

    public = here.quorum()["status"]["publicKey"]
    running = load.begin(here)
    time.sleep(QUIET)
    fault(here)
    after = here.settle()
    time.sleep(QUIET)
    load.end(here)
    found = running.result()
    same = after["status"]["publicKey"] == public
    return found | {"final_state_ok": same and found["lost"] == 0 and found["linearizable"] is not False}
