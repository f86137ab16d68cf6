"""From nothing to a first leader: who the first members are is decided once, and then told to each of them."""

from __future__ import annotations

from labsupport.operators.quorum_operator import names
from labsupport.operators.quorum_operator.actions import Bootstrap, Decide, SetReplicas
from labsupport.operators.quorum_operator.health import Step
from labsupport.operators.quorum_operator.observed import Founder, Observed

REASON = "Bootstrapping"


def decide(seen: Observed) -> Step | None:
    """Decide on the first members as soon as all of them answer; None where that was done.

    The decision is in status before anybody acts by it. An operator that dies in between, and the one after it, find it
    there: no second set of members can come about, whatever happened to volumes meanwhile.
    """
    quorum = seen.quorum
    if quorum.founders:
        return None
    for member in seen.members.values():
        if member.phase == "member" and member.voters:  # status was lost, not the members
            known = {each.id: each for each in seen.members.values()}
            if all(voter.id in known for voter in member.voters):
                founders = tuple(
                    Founder(each.name, each.id, known[each.id].identity) for each in member.voters
                )
                return Step(
                    Decide(founders), REASON, "the members know each other already: they are written down"
                )
            return Step(None, REASON, "members that know each other do not all answer yet")
    size = quorum.spec.size
    if seen.statefulset and seen.statefulset.replicas != size:
        return Step(SetReplicas(size), REASON, f"{size} members are wanted")
    wanted = [names.pod(quorum.name, each) for each in range(size)]
    absent = [each for each in wanted if each not in seen.members or seen.members[each].phase != "waiting"]
    if absent:
        why = [f"{each} ({trouble})" if (trouble := _trouble(seen, each)) else each for each in absent]
        return Step(None, REASON, f"waiting for {', '.join(why)}")
    found = [seen.members[each] for each in wanted]
    founders = tuple(Founder(each.name, each.id, each.identity) for each in found)
    return Step(Decide(founders), REASON, "all members answer: they are decided on")


def tell(seen: Observed) -> Step | None:
    """Tell the decision to a member that does not know it; None where all do.

    Only to a member with the very id that was decided on: one that lost its volume has another: a new member.
    """
    for founder in seen.quorum.founders:
        member = seen.members.get(founder.name)
        if member and member.id == founder.id and member.phase == "waiting":
            return Step(
                Bootstrap(founder.name, seen.quorum.founders),
                REASON,
                f"{founder.name} is told who is a member",
            )
    return None


def _trouble(seen: Observed, name: str) -> str:
    pod, member = seen.pods.get(name), seen.members.get(name)
    if member is not None:
        return "; ".join(member.problems) or f"its volume belongs to another store: it is {member.phase}"
    return pod.trouble if pod else "no Pod yet"
