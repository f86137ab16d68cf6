"""Who leads, who has a vote, who is well: what every step asks before it does anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labsupport.operators.quorum_operator.actions import Action
from labsupport.operators.quorum_operator.observed import Member, Observed, Voter


@dataclass(frozen=True)
class Step:
    """What is due: an action, or None where something must happen by itself first; `reason`, `message` for status."""

    action: Action | None
    reason: str
    message: str


def majority(voters: int) -> int:
    """How many of `voters` decide."""
    return voters // 2 + 1


def leader(seen: Observed) -> Member | None:
    """The member that leads with a majority behind it. An old leader may not know yet that it is none: terms decide.

    None means that the members can decide nothing at present, or that nobody of them can be asked.
    """
    leading = [each for each in seen.members.values() if each.role == "leader" and each.phase == "member"]
    for each in sorted(leading, key=lambda member: -member.term):
        reached = sum(voter.reachable or voter.id == each.id for voter in each.voters)
        return each if reached >= majority(len(each.voters)) else None
    return None


def trouble(seen: Observed, voter: Voter) -> str:
    """Why a voter is not well, in a few words; "" for one that is."""
    pod, member = seen.pods.get(voter.name), seen.members.get(voter.name)
    if pod is None or pod.terminating:
        return "its Pod is not there"
    if member is None:
        return pod.trouble or "it does not answer"
    if not member.id:
        return "; ".join(member.problems)
    if member.id != voter.id:
        return "its volume is another one: what it had is lost"
    if member.disk_full:
        return "its disk is full"
    if not pod.ready:
        return pod.trouble or "it is not ready"
    if not voter.reachable:
        return "the leader does not reach it"
    if not voter.caught_up:
        return "it is behind"
    return ""


def well(seen: Observed, voters: Iterable[Voter]) -> list[Voter]:
    """Those of `voters` that nothing is wrong with."""
    return [each for each in voters if not trouble(seen, each)]


def ailing(seen: Observed, voters: Iterable[Voter], but: str = "") -> str:
    """What is wrong with those of `voters` that are not well, leaving out one name; "" if they all are."""
    found = [(each.name, trouble(seen, each)) for each in voters if each.name != but]
    return "; ".join(f"{name}: {why}" for name, why in sorted(found) if why)


def by_ordinal(seen: Observed, voters: Iterable[Voter]) -> list[Voter]:
    """`voters` by their ordinals, the lowest first."""
    return sorted(voters, key=lambda each: seen.ordinal(each.name))


def heir(seen: Observed, head: Member, among: Iterable[Voter]) -> Voter | None:
    """To whom leadership is handed: one of `among` that is well, else None.

    One of the wanted release first: it need not hand over once more.
    """
    fit = [each for each in by_ordinal(seen, well(seen, among)) if each.id != head.id]
    target = seen.quorum.spec.release
    return min(fit, key=lambda each: seen.pods[each.name].release != target, default=None)
