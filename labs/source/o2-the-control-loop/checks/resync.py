"""o2-resync: the shepherd's Pod is killed in the middle of its work, and its successor must put things right."""

from __future__ import annotations

import time

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.attack import Attack, attack

from .shepherd import CONVERGE, FAILS, SHEPHERD, deployed

REVIVE = 25.0  # seconds for a killed controller's Pod to be replaced, and for the new one to work
SLOW = 10.0  # writes a second: a shepherd that is faster cannot be killed half-way
SIZE = 8  # sheep of the flock in the middle of which a shepherd is killed
RESYNC_LOOK = {
    "o2-resync/stuck-half-way": (
        "When the new process starts, what tells it that the work is not done? What tells it that it is?"
    ),
    "o2-resync/missed-while-up": (
        "It was called, and looked at what? Every condition under which it returns early is a promise."
    ),
}
TOO_FAST = "Deploy it under the name of the shepherd above, and as slow as that one was."


def resync(probe: Probe) -> Outcome:
    """o2-resync: the shepherd's Pod is killed half-way through a flock of the check's own, and sheep are lost."""
    shepherd = deployed(probe)
    pace = shepherd.settings().get("writes_per_second")
    if not isinstance(pace, int | float) or not 0 < pace <= SLOW:
        return not_yet(
            "o2-resync/too-fast",
            f"Nothing slows the shepherd down enough: it would be done with {SIZE} sheep before its Pod could be "
            "killed in the middle of the work.",
            f"the settings with which {SHEPHERD} was deployed",
            TOO_FAST,
        )
    with attack(probe, shepherd, size=SIZE, colour="grey") as flock:
        sheep = f"ConfigMaps of the Flock {flock.name}"
        if not flock.begun(2, CONVERGE):
            return not_yet(
                "o2-resync/does-nothing",
                f"A new Flock was made, and it has fewer than two sheep.{flock.raised()}",
                sheep,
                FAILS,
            )
        killed = flock.kill()
        done = len(flock.sheep())
        if done == SIZE:
            return not_yet(
                "o2-resync/too-fast",
                f"All {SIZE} sheep were there before the Pod could be killed in the middle of its work.",
                sheep,
                TOO_FAST,
            )
        flock.steal_any()
        began = time.monotonic()
        if wrong := flock.trouble(REVIVE):
            return _broken(
                "o2-resync/stuck-half-way",
                f"The shepherd's Pod was killed when {done} of {SIZE} sheep were there, and one was lost meanwhile; "
                f"{wrong.text}",
                sheep,
            )
        took = time.monotonic() - began
        # The killed Pod's process may write for a moment more. Then its successor fails at what is there already, tries
        # again, and would find by that what it does not look for.
        if flock.unrest(CONVERGE) == "raises":
            return _always_raises(flock)
        flock.steal(3)
        if wrong := flock.trouble(CONVERGE):
            return _broken("o2-resync/missed-while-up", f"A sheep was deleted; {wrong.text}", sheep)
        if flock.unrest(CONVERGE) == "raises":
            return _always_raises(flock)
    return passed(
        f"The Pod {killed} was killed half-way, when {done} of {SIZE} sheep were there. Its successor had the flock in "
        f"order {took:.1f} s later, with the sheep that was lost while nobody watched.",
        sheep,
    )


def _always_raises(flock: Attack) -> Outcome:
    return not_yet(
        "o2-resync/raises",
        f"All sheep are there, and the shepherd is called again and again, since it fails.{flock.raised()}",
        "the shepherd's journal",
        FAILS,
    )


def _broken(found: str, text: str, decided_by: str) -> Outcome:
    return not_yet(found, text, decided_by, RESYNC_LOOK[found])
