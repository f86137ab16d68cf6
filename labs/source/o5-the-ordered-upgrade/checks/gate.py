"""o5-gate: a function on members that misbehave, then as the gate of an upgrade to a release that never gets ready."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.gates import run_gate
from labsupport.course.lessons.quorums import Quorum
from labsupport.patience import patient

from .trial import deployed, go, stands, unfinished, unharmed

MEMBERS = range(200, 208)
LIMIT, USUAL = 8, 60  # seconds that a member has for getting well: here, and in start/quorum.yaml
BACK = patient(8.0)  # seconds until the Quorum is as before; it takes about 2
BROKEN = "1.1-broken"
WHERE = "looks at a generated member, in memory"
LOOK = {
    "no-answer": "Each path through the function must return one of the three texts.",
    "not-ready": "Which of the fields did you not ask about?",
    "another-member": "How does a member show that it is still the one that it was?",
    "not-heard": "Which of the fields did you not ask about?",
    "behind": "Which of the fields did you not ask about?",
    "protocol": "`speaks` is a range. Where may the Quorum's protocol lie in it?",
    "share": "Who must have a share of the key, and who has one?",
    "steady": "How many looks are there, and what do the ones before the newest say?",
    "too-soon": "How old may the member become before it has had its time?",
    "late": "At which age is its time over?",
    "sound": "Does the time count for a member with which nothing is wrong?",
    "never": "Nothing was wrong in any of the last three looks. Which of your conditions says no?",
    "not-stopped": "What did your gate say to the looks? The records of the host tell it: `upgrades.looks` shows them.",
    "not-asked": "Which functions were sent in the last `lab.deploy`? A list of functions travels whole.",
    "writes": "How many members were away at a time?",
}


def gate_offline(probe: Probe) -> Outcome:
    """o5-gate, in memory: each look at generated members, fine ones and such that misbehave."""
    with probe.function("gate", 2) as call:
        call.limit = 20.0
        finding = call.drive(run_gate, [*MEMBERS], about=f"{len(MEMBERS)} sets of generated members")
    if finding is not None:
        return _bad(finding.problem, finding.text, WHERE)
    return passed("Members that are well were let through, and all others were not.", WHERE)


def gate_live(probe: Probe) -> Outcome:
    """o5-gate, deployed: the lab's Quorum is to go to a release whose members never get ready, and back again."""
    upgrader, quorum = deployed(probe), Quorum(probe.world)
    before = stands(quorum)
    quorum.edit(upgrade={"healthSeconds": LIMIT})
    try:
        run = go(probe, quorum, BROKEN)
    finally:
        quorum.edit(release=before, upgrade={"healthSeconds": USUAL})
        # Or the next attempt would find this one's failure, and not begin.
        quorum.settle(probe.left(BACK))
    where = f"the Quorum {quorum.name}, on its way to {BROKEN}"
    if not run.ended.startswith("blocked"):
        return _bad("not-stopped", f"The upgrade was not stopped. {unfinished(run, upgrader)}", where)
    if "'back'" not in [each["said"] for each in run.records]:
        text = "The upgrade was stopped, and by the operator's own gate: yours was not asked."
        return _bad("not-asked", text, where)
    if wrong := unharmed(run, "o5-gate/writes", LOOK["writes"], where):
        return wrong
    (first, *_), others = run.changed, {name for name, _ in run.changed}
    if others != {first[0]}:
        return _bad("not-stopped", f"More members than one were changed: {', '.join(sorted(others))}.", where)
    return passed(
        f"Your gate has stopped it at {first[0]}, which is of {before} again; the others were not touched. "
        f"{run.wrote['acknowledged']} writes were confirmed meanwhile and none refused.",
        where,
    )


def _bad(problem: str, text: str, decided_by: str) -> Outcome:
    return not_yet(f"o5-gate/{problem}", text, decided_by, LOOK[problem])
