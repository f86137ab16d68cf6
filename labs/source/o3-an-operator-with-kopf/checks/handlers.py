"""o3-handlers: a handler on generated flocks, and the operator made of it: a new Flock, a change, a lost sheep, and a
time in which nobody was there.
"""

from __future__ import annotations

import time

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.handlers import run_tending
from labsupport.patience import patient

from .guest import Guest, deployed, guest, raised, switched_off

SHEPHERD = "shepherd"
STATES = range(12)
SOON = patient(8.0)  # seconds for an operator to answer a change; it takes less than one
LOOK_AGAIN = patient(9.0)  # seconds until a lost sheep is back: the exercise asks for a look every 3
REVIVED = patient(15.0)  # seconds for an operator that was switched on to have looked at each Flock
ORDER = "`bring_into_order` does the work. Is it called, and with what?"
BINDINGS = {
    "made": "Which decorator has kopf call the function for a Flock that is new?",
    "resize": "Which decorator has kopf call the function when the spec of a Flock changes?",
    "child-stays-gone": (
        "A deleted sheep changes nothing in its Flock, so no handler of the Flock's changes hears of it. What calls a "
        "function without any change?"
    ),
    "missed-while-down": (
        "When it starts, an operator finds Flocks that have not changed since kopf's last note of them. Which "
        "decorator is for these?"
    ),
}
LOOK = {
    "missing": ORDER,
    "no-status": "Whatever a handler puts into `patch.status` is written into the Flock's status when it has ended.",
    "status": "How many sheep are there? `bring_into_order` tells.",
    "generation": "Which generation of the Flock did the handler get to see? Its metadata says so.",
    "swallows": "What kopf does not hear of, it does not try again.",
    "claims": (
        "kopf writes the patch also when the handler raises. What may be said before the work is done, and what after?"
    ),
}


def handlers_offline(probe: Probe) -> Outcome:
    """o3-handlers, in memory: generated flocks in every disorder, and what the status says of them."""
    with probe.function("tend") as call:
        call.limit = 20.0
        finding = call.drive(run_tending, [*STATES], about=f"{len(STATES)} generated flocks")
    if finding is not None:
        found = f"o3-handlers/{finding.problem}"
        look = LOOK.get(finding.problem, ORDER)
        return not_yet(found, finding.text, "a generated state, in memory", look)
    return passed(f"{len(STATES)} generated flocks came into order.", "generated states, in memory")


def handlers_live(probe: Probe) -> Outcome:
    """o3-handlers, deployed: a Flock of the check's own, through a day and a night of the operator."""
    shepherd = deployed(probe, SHEPHERD)
    with guest(probe, size=3, colour="brown") as flock:
        began = time.monotonic()

        def bad(finding: str, what: str, seconds: float) -> Outcome | None:
            wrong = flock.trouble(seconds) or flock.status(SOON)
            if not wrong:
                return None
            text = f"{what}; {seconds:.0f} s later: {wrong}{raised(shepherd)}"
            where = f"ConfigMaps and status of the Flock {flock.name}"
            return not_yet(f"o3-handlers/{finding}", text, where, BINDINGS[finding])

        if wrong := bad("made", "A new Flock was made", SOON):
            return wrong
        took = time.monotonic() - began
        flock.resize(5)
        if wrong := bad("resize", "The Flock was made larger", SOON):
            return wrong
        began = time.monotonic()
        flock.steal(flock.sheep()[1])
        if wrong := bad("child-stays-gone", "A sheep was deleted", LOOK_AGAIN):
            return wrong
        back = time.monotonic() - began
        with switched_off(probe, shepherd):
            flock.steal(*flock.sheep())
        if wrong := bad("missed-while-down", "All sheep were deleted while the operator was off", REVIVED):
            return wrong
        return _leaves(
            flock, f"A new Flock was in order after {took:.1f} s, and a lost sheep back after {back:.1f} s."
        )


def _leaves(flock: Guest, told: str) -> Outcome:
    flock.delete()
    if flock.stays(SOON):
        return not_yet(
            "o3-handlers/stays",
            f"{told} But when the Flock was deleted, it stayed: a finalizer holds it that nobody takes off.",
            f"Flock {flock.name}, metadata.finalizers",
            "Which handler of yours does not end, or ends with an error, when its Flock is being deleted?",
        )
    return passed(
        f"{told} What was lost while the operator was switched off was put right when it came back.",
        f"ConfigMaps and status of the Flock {flock.name}",
    )
