"""o2-reconcile: the learner's function on generated flocks, and the shepherd made of it under attack."""

from __future__ import annotations

import time

from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons.attack import Attack, attack
from labsupport.course.lessons.shepherding import Finding, run_states

from .shepherd import CONVERGE, FAILS, deployed

STATES = range(16)
RECONCILE_LOOK = {
    "o2-reconcile/missing": "Compare the names that the flock wants with those that are there.",
    "o2-reconcile/extra": "Whose sheep is it? Not its name and not its label say so, but its owner reference.",
    "o2-reconcile/dyed": "A name that is there is not enough: is what stands behind it as it should be?",
    "o2-reconcile/label": "A name that is there is not enough: are its labels as they should be?",
    "o2-reconcile/owner": (
        "A sheep without its owner reference outlives its flock, and no event of it reaches the shepherd."
    ),
    "o2-reconcile/stranger": "Touch a ConfigMap only if it has a wanted name, or if this very Flock owns it, by uid.",
    "o2-reconcile/rewrites": "Compare before you write.",
    "o2-reconcile/writes-again": "Compare before you write: controllers that always write chase themselves.",
    "o2-reconcile/refused": "Which object was in the way, and how does the function look for what is there?",
    "o2-reconcile/stuck-after-failure": (
        "After a failure the queue calls again. What does the function remember or leave out then?"
    ),
    "o2-reconcile/endless-requests": "One list, and one write for each difference, is all that one run needs.",
}


def reconcile_offline(probe: Probe) -> Outcome:
    """o2-reconcile, in memory: generated flocks in every disorder; twice; with a write that fails."""
    with probe.function("reconcile", parameters=2) as call:
        call.limit = 20.0
        finding = call.drive(run_states, [*STATES], about=f"{len(STATES)} generated flocks")
    if finding is not None:
        return _reconciling(finding, "a generated state, in memory")
    return passed(f"{len(STATES)} generated flocks came into order.", "generated states, in memory")


def _reconciling(finding: Finding, decided_by: str) -> Outcome:
    found = f"o2-reconcile/{finding.problem}"
    return not_yet(found, finding.text, decided_by, RECONCILE_LOOK[found])


def reconcile_live(probe: Probe) -> Outcome:
    """o2-reconcile, deployed: a flock of the check's own is attacked, and must be in order again each time."""
    shepherd = deployed(probe)
    with attack(probe, shepherd, size=4, colour="brown") as flock:
        began = time.monotonic()
        _in_order(flock, "A new Flock was made")
        took = time.monotonic() - began
        flock.steal(1)
        flock.edit(0, {"data": {"colour": "pink"}})
        flock.edit(2, {"metadata": {"labels": None}})
        _in_order(flock, "A sheep was deleted, one dyed, and one lost its label")
        flock.resize(2)
        _in_order(flock, "The Flock was made smaller")
        unrest = flock.unrest(CONVERGE)
        if unrest == "raises":
            return not_yet(
                "o2-reconcile/raises",
                f"The flock is in order, and the shepherd is called again and again, since it fails.{flock.raised()}",
                "the shepherd's journal",
                FAILS,
            )
        if unrest == "hot-loop":
            return not_yet(
                "o2-reconcile/hot-loop",
                "Nothing is left to do, and the sheep are written again and again: each write is an event, and each "
                "event brings the next reconcile.",
                f"resourceVersion of the ConfigMaps of the Flock {flock.name}",
                "Compare before you write.",
            )
        runs = flock.runs()
    events, writes = sum(each["events"] for each in runs), sum(each["writes"] for each in runs)
    return passed(
        f"A Flock of the check's own was in order {took:.1f} s after it was made, and again after deletions and edits. "
        f"The shepherd needed {len(runs)} reconciles for {events} events, and {writes} writes.",
        f"ConfigMaps of the Flock {flock.name}, and the shepherd's journal",
    )


def _in_order(flock: Attack, after: str) -> None:
    """Errors: Rejected if the flock does not come into order."""
    if wrong := flock.trouble(CONVERGE):
        decided_by = f"ConfigMaps of the Flock {flock.name}"
        raise Rejected(_reconciling(Finding(wrong.problem, f"{after}; {wrong.text}"), decided_by))
