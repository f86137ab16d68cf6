"""What is said of a Quorum: conditions, and the plain fields of its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labsupport.operators.quorum_operator import keys, upgrading
from labsupport.operators.quorum_operator.health import Step, ailing, majority, trouble, well
from labsupport.operators.quorum_operator.observed import Member, Observed

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
AS_WANTED = "AsWanted"


@dataclass(frozen=True)
class Condition:
    """One condition, without its times."""

    type: str
    status: str
    reason: str
    message: str


def conditions(seen: Observed, head: Member | None, step: Step | None) -> tuple[Condition, ...]:
    """All of them. `head`: who leads with a majority; `step`: what is due."""
    return (
        _available(seen, head),
        _progressing(seen, head, step),
        _degraded(seen, head),
        _key(seen, head),
        _upgrade(seen, head),
    )


def _available(seen: Observed, head: Member | None) -> Condition:
    if head:
        fit = len(well(seen, head.voters))
        if fit >= majority(len(head.voters)):
            return Condition(
                "Available", TRUE, "Quorum", f"{head.name} leads; {fit} of {len(head.voters)} are well"
            )
        return Condition(
            "Available", FALSE, "TooFewReady", f"{head.name} leads, but: {ailing(seen, head.voters)}"
        )
    if seen.foreign:
        return Condition("Available", FALSE, "ForeignObject", _foreign(seen))
    if not seen.quorum.founders:
        return Condition("Available", FALSE, "Bootstrapping", "the members have not been decided on yet")
    if not seen.members and any(pod.ready for pod in seen.pods.values()):
        return Condition(
            "Available", UNKNOWN, "Unreachable", "the operator reaches no member; they may be well"
        )
    return Condition("Available", FALSE, "NoQuorum", no_quorum(seen))


def no_quorum(seen: Observed) -> str:
    """What is said where no majority is behind anybody."""
    named = sorted({each.name for each in seen.quorum.founders} | {*seen.pods})
    why = [f"{name}: {_alone(seen, name)}" for name in named]
    return (
        "no member leads with a majority, so nothing is done: what is written now could be lost. "
        f"{'; '.join(why)}. If their volumes are gone for good, restore a back-up into a new Quorum"
    )


def _alone(seen: Observed, name: str) -> str:
    member, pod = seen.members.get(name), seen.pods.get(name)
    if member:
        return f"{member.phase}, {member.role}" + (f", {member.problems[0]}" if member.problems else "")
    return (pod.trouble if pod else "") or "does not answer"


def _foreign(seen: Observed) -> str:
    return (
        f"{', '.join(seen.foreign)} exists and is not this Quorum's: it is left as it is; remove it or choose "
        "another name"
    )


def _progressing(seen: Observed, head: Member | None, step: Step | None) -> Condition:
    if seen.quorum.deleting:
        return Condition("Progressing", TRUE, "Deleting", "what belongs to it is removed")
    if seen.foreign:
        return Condition("Progressing", FALSE, "ForeignObject", _foreign(seen))
    if step:
        return Condition("Progressing", TRUE, step.reason, step.message)
    if head is None:
        return Condition("Progressing", FALSE, "NoQuorum", no_quorum(seen))
    if blocked := upgrading.blocked(seen, head):
        return Condition("Progressing", FALSE, *blocked)
    return Condition("Progressing", FALSE, AS_WANTED, "nothing is to be done")


def _degraded(seen: Observed, head: Member | None) -> Condition:
    full = sorted(each.name for each in seen.members.values() if each.disk_full)
    if full:
        message = f"the disk of {', '.join(full)} is full: make room or larger volumes; nothing is lost"
        return Condition("Degraded", TRUE, "DiskFull", message)
    if head is None:
        status = TRUE if seen.quorum.founders else FALSE
        return Condition(
            "Degraded", status, "NoQuorum" if status == TRUE else "Bootstrapping", "no member leads"
        )
    stopped = sorted(each.name for each in seen.members.values() if each.phase == "stopped")
    if stopped:
        why = "; ".join(f"{each}: {', '.join(seen.members[each].problems)}" for each in stopped)
        return Condition("Degraded", TRUE, "MemberStopped", why)
    lost = sorted(each.name for each in head.voters if "volume is another" in trouble(seen, each))
    if lost:
        return Condition("Degraded", TRUE, "VolumeLost", f"the volume of {', '.join(lost)} is gone")
    if why := ailing(seen, head.voters):
        return Condition("Degraded", TRUE, "MemberDown", why)
    if len(head.voters) < seen.quorum.spec.size and seen.quorum.release:
        return Condition(
            "Degraded", FALSE, "Growing", f"{len(head.voters)} of {seen.quorum.spec.size} have a vote"
        )
    if head.key.blamed:
        why = "; ".join(f"{name}: {reason}" for name, reason in head.key.blamed)
        return Condition("Degraded", TRUE, "MemberBlamed", f"it broke the rules of the key's ceremony: {why}")
    return Condition("Degraded", FALSE, AS_WANTED, "all members are well")


def _key(seen: Observed, head: Member | None) -> Condition:
    if head is None:
        return Condition("KeyReady", UNKNOWN, "NoQuorum", "no member leads, so nothing can be signed")
    key = head.key
    if not key.public:
        reason = {"running": "CeremonyRunning", "failed": "CeremonyFailed"}.get(key.state, "NoKey")
        why = "; ".join(f"{name}: {blame}" for name, blame in key.blamed)
        return Condition("KeyReady", FALSE, reason, why or "the members have no key yet")
    holding = len(keys.alive(seen, head))
    if holding < key.threshold:
        message = f"{holding} of the {key.threshold} that sign together have a share and are well"
        return Condition("KeyReady", FALSE, "TooFewHolders", message)
    return Condition("KeyReady", TRUE, "Ready", f"any {key.threshold} of {len(key.holders)} sign together")


def _upgrade(seen: Observed, head: Member | None) -> Condition:
    if head is None:
        return Condition("UpgradeBlocked", UNKNOWN, "NoQuorum", "no member leads")
    if blocked := upgrading.blocked(seen, head):
        return Condition("UpgradeBlocked", TRUE, *blocked)
    return Condition("UpgradeBlocked", FALSE, AS_WANTED, "nothing is in the way of an upgrade")


def fields(seen: Observed, head: Member | None) -> dict[str, Any]:
    """The plain fields of status; None removes one."""
    quorum = seen.quorum
    releases = {pod.release for pod in seen.pods.values() if not pod.terminating}
    said: dict[str, Any] = {
        "observedGeneration": quorum.generation,
        "selector": f"quorum.labs.example/quorum={quorum.name}",
        "leader": head.name if head else None,
    }
    if head:
        said |= {
            "voters": len(head.voters),
            "ready": len(well(seen, head.voters)),
            "protocol": head.protocol,
            "publicKey": head.key.public or None,
            "keyEpoch": head.key.epoch,
        }
    else:
        said["ready"] = 0
    if head and len(releases) == 1:
        said["release"] = next(iter(releases))
    return said


def merged(
    before: Sequence[Mapping[str, Any]], now: Sequence[Condition], generation: int, at: str
) -> list[dict[str, Any]]:
    """`now` in the API's form: a condition's time is that of its last change of status."""
    old = {each["type"]: each for each in before}
    made = []
    for each in now:
        was = old.get(each.type, {})
        same = was.get("status") == each.status
        made.append(
            {
                "type": each.type,
                "status": each.status,
                "reason": each.reason,
                "message": each.message[:32768],
                "observedGeneration": generation,
                "lastTransitionTime": was["lastTransitionTime"] if same else at,
            }
        )
    return made
