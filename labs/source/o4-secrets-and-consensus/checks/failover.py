"""o4-failover: who leads, in generated situations; then by the deployed program, while the leader is killed."""

from __future__ import annotations

from labsupport.course.deploy import Deployed, describe
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import fronts
from labsupport.course.lessons.failovers import KINDS, run_failovers
from labsupport.course.lessons.quorums import Quorum

FRONT = "front"
SEEDS = range(6 * len(KINDS))
LOOK = {
    "no-name": "A name is a text, as in the answers; where nobody leads, None.",
    "unknown": "The names of members are in the answers, and other Quorums have other names.",
    "another": "Who says that it leads, in the newest term of which there is a leader?",
    "nobody": "Somebody leads here, and says so. Which of your conditions has left it out, and what does it tell?",
    "nobody-elected": "Does anybody say that it leads?",
    "deposed": (
        "Once somebody was elected in a newer term, whoever led in an older one is deposed. Who in these answers knows "
        "of such an election?"
    ),
    "minority": "How many of the voters does it reach, and how many are needed to decide anything?",
    "stale": "How old is what it has said?",
    "never": "`fronts.failover(lab)` shows what a writer meets. Whom does your function name on the real cluster?",
    "does-not-go-on": (
        "`labs kubectl get endpointslice front -o yaml` shows whom the Service leads to, and the log of `front` when "
        "that changed."
    ),
}


def failover_offline(probe: Probe) -> Outcome:
    """o4-failover, in memory: elections, deposed leaders, minorities, old answers."""
    with probe.function("leads", parameters=1) as call:
        call.limit = 20.0
        finding = call.drive(run_failovers, [*SEEDS], about=f"{len(SEEDS)} generated situations")
    if finding is not None:
        return _bad(finding.problem, finding.text, "a generated situation, in memory")
    return passed(
        f"{len(SEEDS)} generated situations were judged rightly.", "generated situations, in memory"
    )


def failover_live(probe: Probe) -> Outcome:
    """o4-failover, deployed: somebody writes by way of the Service, and the leader is killed."""
    front = _deployed(probe)
    quorum = Quorum(probe.world)
    probe.progress("waiting until all members are well")
    quorum.settle(probe.left())
    probe.progress("writing, and killing the leader")
    story = fronts.write(probe.world, FRONT)
    if story.killed:
        probe.progress("waiting until all members are well again")
        quorum.settle(probe.left())
    if not story.killed:
        text = f"Nothing could be written by way of `front`: {story.ended()}.{_raised(front)}"
        return _bad("never", text, "writes by way of the Service front")
    if not story.went_on:
        text = f"{story.killed}, which led, was killed. Then no write was confirmed in time: {story.ended()}."
        return _bad("does-not-go-on", text + _raised(front), "writes by way of the Service front")
    return passed(
        f"{story.killed}, which led, was killed while somebody wrote. The longest time without a confirmed write was "
        f"{story.gap:.1f} s.",
        "writes by way of the Service front",
    )


def _deployed(probe: Probe) -> Deployed:
    found = probe.deployed(FRONT)
    if found is not None and found.host == "failover":
        return found
    raise Rejected(
        not_yet(
            "not-deployed",
            "Nothing runs in your namespace that tells the Service front whom to lead to.",
            f"Deployment {FRONT} in {probe.namespace}",
            "The last line of the exercise's cell deploys your function. Under which name?",
        )
    )


def _raised(front: Deployed) -> str:
    errors = front.errors()
    return f" The log of `front` tells of {describe(errors[-1])}." if errors else ""


def _bad(problem: str, text: str, decided_by: str) -> Outcome:
    return not_yet(f"o4-failover/{problem}", text, decided_by, LOOK[problem])
