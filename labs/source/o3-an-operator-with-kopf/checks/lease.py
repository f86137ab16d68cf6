"""o3-lease: a candidate on generated schedules in virtual time, and the operator made of it in two replicas, of which
the one that acts is killed.
"""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import replicas
from labsupport.course.lessons.electing import run_electing
from labsupport.patience import patient

from .guest import deployed, guest, raised

RINGERS = "ringers"
SCHEDULES = range(48)
BEGINS = patient(15.0)  # seconds for one of two replicas to act: kopf begins within two
LOOK = {
    "no-time": "`elect` returns until when this replica may act, as a number by `clock()`, or None.",
    "nobody": (
        "Three may take or renew the Lease: whoever holds it, anybody if nobody does, and who has waited long enough. "
        "What tells the function that it has waited long enough, and what does it return then?"
    ),
    "impatient": (
        "From which reading of which clock on, and for how long, does a candidate wait? Who has promised that time? A "
        "renewal may have come while its request was on its way."
    ),
    "two-leaders": (
        "Who leads stops by itself. From which reading of the clock on does that time count, if a request takes long? "
        "And how does the other one see that the Lease has been renewed?"
    ),
    "flaps": "Who holds the Lease and is well keeps it.",
    "keeps-it": "Who leaves and holds the Lease leaves it to nobody: then the other one need not wait.",
    "takes-on-leaving": "Who leaves and does not hold the Lease has nothing to give up, and nothing to take.",
    "endless-requests": "`elect` is called again in a second: one read and one write are enough for one look.",
    "nobody-acts": "The replicas' log may tell why: `labs kubectl logs deployment/ringers`.",
    "not-taken-over": "Does the replica that is left still wait? See `labs kubectl get lease ringers -o yaml`.",
    "both-act": "A replica acts until the time that `elect` returned. Is it a time by `clock()`?",
}


def lease_offline(probe: Probe) -> Outcome:
    """o3-lease, in virtual time: two candidates, wrong clocks, slow requests, a leader that is lost."""
    with probe.function("elect", parameters=5) as call:
        call.limit = 20.0
        finding = call.drive(run_electing, [*SCHEDULES], about=f"{len(SCHEDULES)} generated schedules")
    if finding is not None:
        return _bad(finding.problem, finding.text, "a generated schedule, in virtual time")
    return passed(
        f"In {len(SCHEDULES)} generated schedules never did two lead at once, and who was lost was replaced.",
        "generated schedules, in virtual time",
    )


def lease_live(probe: Probe) -> Outcome:
    """o3-lease, deployed: two replicas ring for a Flock of the check's own; the one that does is killed."""
    ringers = deployed(probe, RINGERS)
    where = f"the calls of handlers that the Pods of {RINGERS} tell of"
    with guest(probe, size=0, colour="white") as flock:
        before = replicas.acting(ringers, flock.name, seconds=probe.left(BEGINS))
        if not before:
            text = (
                f"A Flock was made, and no replica of {RINGERS} has called a handler for it.{raised(ringers)}"
            )
            return _bad("nobody-acts", text, where)
        victim = before[-1].by
        replicas.kill(ringers, victim)
        # The Pod begins anew, as another candidate: either may take over.
        after = replicas.acting(ringers, flock.name, unlike=victim, seconds=probe.left(replicas.TAKES_OVER))
    if twice := replicas.returned(after):
        order = ", ".join(each.by for each in after)
        return _bad("both-act", f"{twice} acted, and acted again after another one: {order}.", where)
    if not after or after[-1].by == victim:
        text = f"{victim} was killed, and nobody has called a handler since.{raised(ringers)}"
        return _bad("not-taken-over", text, where)
    gap = after[-1].first - after[-2].last if len(after) > 1 else 0.0
    return passed(
        f"{victim} was killed; {gap:.1f} s after its last call {after[-1].by} took over. No two acted at once.",
        where,
    )


def _bad(problem: str, text: str, decided_by: str) -> Outcome:
    return not_yet(f"o3-lease/{problem}", text, decided_by, LOOK[problem])
