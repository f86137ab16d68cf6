"""More members, fewer members, another in place of one that lost its volume: one at a time."""

from __future__ import annotations

from labsupport.operators.quorum_operator import keys, names
from labsupport.operators.quorum_operator.actions import (
    AddMember,
    DeleteClaim,
    DeletePod,
    RemoveMember,
    SetReplicas,
    Transfer,
)
from labsupport.operators.quorum_operator.health import Step, ailing, by_ordinal, heir, majority, well
from labsupport.operators.quorum_operator.observed import Member, Observed, Voter

REPLACING, GROWING, SHRINKING = "ReplacingMember", "Growing", "Shrinking"


def replace(seen: Observed, head: Member) -> Step | None:
    """Take the vote of a member whose volume is gone; its successor is added as any new member is.

    It is gone when the Pod of its name answers with another id, or when its claim says that the volume is lost.
    """
    for claim in seen.claims:
        name = names.pod(seen.quorum.name, claim.ordinal)
        if claim.lost and not claim.terminating:
            return Step(
                DeleteClaim(claim.name, claim.uid),
                REPLACING,
                f"the volume of {name} is lost: it gets another",
            )
        pod = seen.pods.get(name)
        if claim.lost and pod and not pod.terminating:
            return Step(
                DeletePod(name, pod.uid), REPLACING, f"the volume of {name} is lost: its Pod lets go of it"
            )
    for voter in head.voters:
        member = seen.members.get(voter.name)
        if member is None or member.id in (voter.id, ""):
            continue
        others = [each for each in head.voters if each.id != voter.id]
        if len(well(seen, others)) < majority(len(others)):
            return Step(
                None,
                REPLACING,
                f"{voter.name} lost its volume; too few others are well: {ailing(seen, others)}",
            )
        return Step(RemoveMember(head.name, voter.name, voter.id), REPLACING, f"{voter.name} lost its volume")
    return None


def trim(seen: Observed, head: Member) -> Step | None:
    """Pods and volumes that no member uses any more."""
    statefulset = seen.statefulset
    if statefulset is None:
        return None
    voted = max(seen.ordinal(each.name) for each in (*head.voters, *head.learners))
    floor = max(voted + 1, seen.quorum.spec.size)
    if statefulset.replicas > floor:
        return Step(SetReplicas(floor), SHRINKING, f"{floor} Pods are left")
    for claim in seen.claims:
        name = names.pod(seen.quorum.name, claim.ordinal)
        if claim.ordinal >= statefulset.replicas and name not in seen.pods:
            if claim.terminating:
                return Step(None, SHRINKING, f"the volume of {name} is going")
            return Step(
                DeleteClaim(claim.name, claim.uid), SHRINKING, f"the volume of {name} is of no use to anybody"
            )
    return None


def ending(seen: Observed, head: Member) -> Step | None:
    """Nothing is as wanted while a Pod that was let go is still ending: its volume has yet to be removed."""
    if seen.statefulset is None:
        return None
    left = [each for each in seen.claims if each.ordinal >= seen.statefulset.replicas]
    names_ = ", ".join(names.pod(seen.quorum.name, each.ordinal) for each in left)
    return Step(None, SHRINKING, f"{names_} ends") if left else None


def grow(seen: Observed, head: Member) -> Step | None:
    """Add the member with the lowest ordinal that has no vote."""
    voting = {each.name for each in head.voters}
    for learner in head.learners:
        member = seen.members.get(learner.name)
        if seen.ordinal(learner.name) >= seen.quorum.spec.size:
            return Step(
                RemoveMember(head.name, learner.name, learner.id),
                SHRINKING,
                f"{learner.name} is not wanted any more",
            )
        if member and member.id not in (learner.id, ""):
            return Step(
                RemoveMember(head.name, learner.name, learner.id),
                REPLACING,
                f"{learner.name} lost its volume",
            )
        return Step(None, GROWING, f"{learner.name} catches up before it gets a vote")
    absent = [
        each for each in range(seen.quorum.spec.size) if names.pod(seen.quorum.name, each) not in voting
    ]
    if not absent or seen.statefulset is None:
        return None
    name = names.pod(seen.quorum.name, absent[0])
    if seen.statefulset.replicas <= absent[0]:
        return Step(SetReplicas(absent[0] + 1), GROWING, f"{name} is started")
    pod, member = seen.pods.get(name), seen.members.get(name)
    if member is None or pod is None or pod.terminating:
        return Step(
            None, GROWING, f"waiting for {name}" + (f": {pod.trouble}" if pod and pod.trouble else "")
        )
    if member.phase == "removed":
        return _fresh(seen, name)
    if member.phase == "waiting":
        return Step(AddMember(head.name, name, member.id, member.identity), GROWING, f"{name} is added")
    return Step(None, GROWING, f"{name} is {member.phase}")


def _fresh(seen: Observed, name: str) -> Step | None:
    """A member that was removed does not come back on its old volume, lest it vote twice."""
    for claim in seen.claims:
        if claim.name == names.claim(seen.quorum.name, seen.ordinal(name)) and not claim.terminating:
            return Step(DeleteClaim(claim.name, claim.uid), GROWING, f"{name} begins on a new volume")
    return Step(DeletePod(name, seen.pods[name].uid), GROWING, f"{name} lets go of its old volume")


def shrink(seen: Observed, head: Member) -> Step | None:
    """Take leave of the member with the highest ordinal, as long as there are too many.

    Its share goes first: while it is still there, every old share can help to make the new ones, so this works whatever
    the threshold is. Then leadership, then its vote; `trim` takes the rest.
    """
    if len(head.voters) <= seen.quorum.spec.size:
        return None
    leaving = by_ordinal(seen, head.voters)[-1]
    others = [each for each in head.voters if each.id != leaving.id]
    if why := ailing(seen, others):
        return Step(None, SHRINKING, f"{leaving.name} leaves when the others are well; {why}")
    return _share(seen, head, leaving) or _vote(seen, head, leaving, others)


def _share(seen: Observed, head: Member, leaving: Voter) -> Step | None:
    if not head.key.public or leaving.name not in head.key.holders:
        return None
    ceremony = keys.step(seen, head, without=leaving.name)
    if ceremony is None:
        return Step(None, SHRINKING, f"{leaving.name} holds a share that cannot be replaced now")
    return Step(ceremony.action, SHRINKING, f"{ceremony.message}; {leaving.name} leaves")


def _vote(seen: Observed, head: Member, leaving: Voter, others: list[Voter]) -> Step:
    if leaving.id != head.id:
        return Step(RemoveMember(head.name, leaving.name, leaving.id), SHRINKING, f"{leaving.name} leaves")
    successor = heir(seen, head, others)
    if successor is None:
        return Step(None, SHRINKING, f"nobody can take over from {leaving.name}")
    return Step(Transfer(head.name, successor.id), SHRINKING, f"{leaving.name} hands over before it leaves")
