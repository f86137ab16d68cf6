"""o5-order: a function on generated histories, then as the upgrader of a real Quorum under a client's writes."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.fleets import run_order
from labsupport.course.lessons.quorums import Quorum

from .trial import RELEASES, deployed, go, raised, stands, unfinished, unharmed

HISTORIES = range(100, 180)
WHERE = "a generated history, in memory"
LOOK = {
    "no-step": "Each path through the function must return one of the four records of the table.",
    "no-member": "Steps go by a member's `name`.",
    "again": "What does `release` say of a member that is as it should be, and what of one that has no Pod?",
    "leader-restarted": "Which of the records says who leads, and what comes before such a member's turn?",
    "two-down": "Which members are away at this moment, whoever is to blame? Count them before you take another one.",
    "no-leader": "Look for the member with `leads`. What may be done if there is none?",
    "heir": "To whom may leadership go? It must be somebody else, and able to lead.",
    "leader-early": "After this, the new leader is the one that must go last. Who is left that does not lead?",
    "waits": "Nothing that could change this state by itself is under way. Whose turn is it?",
    "waits-for-the-old": "Is the member that is down one of those that have to be changed anyway?",
    "never-done": "What is the last thing to say?",
    "done-early": "Done means two things of every member. Is either of them missing?",
    "not-finished": "What does your function say to the state in which it stands? The records of the host tell it.",
    "writes": "Who led when a Pod was deleted? `upgrades.go` shows it for your own Quorum.",
}


def order_offline(probe: Probe) -> Outcome:
    """o5-order, in memory: each step in each second of generated histories."""
    with probe.function("next_step", 2) as call:
        call.limit = 20.0
        finding = call.drive(run_order, [*HISTORIES], about=f"{len(HISTORIES)} generated histories")
    if finding is not None:
        return _bad(finding.problem, finding.text, WHERE)
    return passed(f"{len(HISTORIES)} generated upgrades came to their end, one right step at a time.", WHERE)


def order_live(probe: Probe) -> Outcome:
    """o5-order, deployed: the lab's Quorum goes to the other one of two releases."""
    upgrader, quorum = deployed(probe), Quorum(probe.world)
    (release,) = {*RELEASES} - {stands(quorum)}
    run = go(probe, quorum, release)
    where = f"the Quorum {quorum.name}, on its way to {release}"
    if run.ended != "there":
        return _bad("not-finished", f"The upgrade did not end. {unfinished(run, upgrader)}", where)
    for name, led in run.changed:
        if led:
            text = f"{name} led when its Pod was deleted.{raised(upgrader)}"
            return _bad("leader-restarted", text, where)
    if wrong := unharmed(run, "o5-order/writes", LOOK["writes"], where):
        return wrong
    order = ", ".join(name for name, _ in run.changed)
    return passed(
        f"{order} became {release} in this order, none of them as leader, in {run.seconds:.0f} s. "
        f"{run.wrote['acknowledged']} writes were confirmed meanwhile and none refused; the longest time without one "
        f"was {run.wrote['gap_s']:.2f} s.",
        where,
    )


def _bad(problem: str, text: str, decided_by: str) -> Outcome:
    return not_yet(f"o5-order/{problem}", text, decided_by, LOOK[problem])
