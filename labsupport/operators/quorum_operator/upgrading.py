"""From one release to another: back-up, followers one by one, each until it is well, the leader last.

    (none) -> BackingUp -> Rolling -> (none)            every member changed and well; then the protocol is raised
                              |
                              v  a member is not well in time
                         RollingBack -> Failed           that member is as it was; nothing goes on until something else
                                                        is wanted, or the annotation `retry` has another value

Each change of state is in status before what it allows is done. A change of mind at any point is a new target: who is
there already stays, the others follow. Whom to change next and when a member counts as well are `Rules`, which another
program may have of its own (`names.UPGRADED_BY`); the states are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from labsupport.operators.quorum_operator import names, releases
from labsupport.operators.quorum_operator.actions import (
    DeletePod,
    Note,
    RaiseProtocol,
    SetRelease,
    StartBackup,
    Transfer,
)
from labsupport.operators.quorum_operator.health import Step, ailing, by_ordinal, heir, trouble
from labsupport.operators.quorum_operator.observed import (
    BACKING_UP,
    FAILED,
    ROLLING,
    ROLLING_BACK,
    Member,
    Observed,
    Upgrade,
    Voter,
)

REASON, BACK = "Upgrading", "RollingBack"
COMPLETED, BACKUP_FAILED = "Completed", "Failed"
Blocked = tuple[str, str]  # a condition's reason and message


@dataclass(frozen=True)
class Health:
    """What is wrong with a member that was changed, "" for nothing; `over`: whether it has had its time."""

    trouble: str
    over: bool = False


@dataclass(frozen=True)
class Rules:
    """What an upgrade decides by. `choose`: the next step while no member is being changed. `judge`: how the member
    that was changed is, once its new Pod is there. `careful`: a Pod is only deleted if all others are well and another
    leads, whatever was chosen.
    """

    choose: Callable[[Observed, Member, Upgrade], Step]
    judge: Callable[[Observed, Member, Voter], Health]
    careful: bool = True


def behind(seen: Observed, head: Member) -> list[Voter]:
    """The voters whose Pods are of another release than is wanted, the lowest ordinal first."""
    target = seen.quorum.spec.release
    return [
        each
        for each in by_ordinal(seen, head.voters)
        if each.name in seen.pods and seen.pods[each.name].release != target
    ]


def blocked(seen: Observed, head: Member) -> Blocked | None:
    """Why the wanted release cannot be gone to; None where nothing is in the way, or nothing is to be done."""
    target, upgrade = seen.quorum.spec.release, seen.quorum.upgrade
    if not _due(seen, head):
        return None
    if refusal := releases.refusal(target, head.protocol):
        return refusal
    if upgrade is None or upgrade.target != target:
        return None
    if upgrade.stage == FAILED and upgrade.retry == seen.quorum.retry:
        return "GateFailed", upgrade.message
    if upgrade.stage == BACKING_UP and seen.quorum.spec.backup_required:
        if seen.quorum.spec.backup is None:
            return "BackupMissing", (
                "a back-up comes before an upgrade, and spec.backup names no volume: name one, or set "
                "spec.upgrade.backup to Skip"
            )
        done = seen.backups.get(upgrade.backup)
        if done and done.phase == BACKUP_FAILED and upgrade.retry == seen.quorum.retry:
            return "BackupFailed", f"{upgrade.backup}: {done.message}"
    return None


def _due(seen: Observed, head: Member) -> bool:
    target = seen.quorum.spec.release
    return bool(behind(seen, head)) or bool(seen.statefulset and seen.statefulset.release != target)


def under_way(seen: Observed) -> bool:
    """Whether a member may be down because of an upgrade, so that nothing else is begun."""
    upgrade = seen.quorum.upgrade
    return upgrade is not None and upgrade.stage in (ROLLING, ROLLING_BACK)


def step(seen: Observed, head: Member) -> Step | None:
    """What an upgrade needs next; None where there is none, or it is blocked."""
    if by := seen.quorum.upgraded_by:
        waits = f"upgrades are left to {by} (annotation {names.UPGRADED_BY})"
        at_work = seen.quorum.upgrade is not None or (_due(seen, head) and not blocked(seen, head))
        return Step(None, REASON, waits) if at_work and not _given_up(seen) else None
    return advance(seen, head, RULES)


def _given_up(seen: Observed) -> bool:
    """Whether nothing goes on until something else is wanted."""
    upgrade, quorum = seen.quorum.upgrade, seen.quorum
    same = upgrade is not None and upgrade.target == quorum.spec.release and upgrade.retry == quorum.retry
    return upgrade is not None and same and upgrade.stage == FAILED


def advance(seen: Observed, head: Member, rules: Rules) -> Step | None:
    """What an upgrade by `rules` needs next; None where there is none, or it is blocked."""
    upgrade, target = seen.quorum.upgrade, seen.quorum.spec.release
    if upgrade and upgrade.stage == ROLLING_BACK and upgrade.target == target:
        return _roll_back(seen, head, upgrade)
    if upgrade and upgrade.target == target and upgrade.member:
        return _gate(seen, head, upgrade, rules)
    if not _due(seen, head):
        return _finish(seen, head, upgrade)
    if blocked(seen, head):
        return None
    if upgrade is None or upgrade.target != target or upgrade.stage == FAILED:
        return _begin(seen, upgrade)
    if upgrade.stage == BACKING_UP:
        return _back_up(seen, upgrade)
    return _roll(seen, head, upgrade, rules)


def _begin(seen: Observed, before: Upgrade | None) -> Step:
    """A new target. One back-up is enough for a change of mind: it is from before the first change."""
    quorum = seen.quorum
    origin = seen.statefulset.release if seen.statefulset else quorum.release
    rolling = before is not None and before.stage != BACKING_UP
    name = before.backup if before and rolling else f"{quorum.name}-up-{quorum.generation}"
    stage = ROLLING if rolling or not quorum.spec.backup_required else BACKING_UP
    if origin == quorum.spec.release and before:
        origin = before.origin
    upgrade = Upgrade(quorum.spec.release, stage, origin, name, retry=quorum.retry)
    return Step(Note(upgrade), REASON, f"{quorum.spec.release} is gone to")


def _back_up(seen: Observed, upgrade: Upgrade) -> Step:
    if not seen.quorum.spec.backup_required:
        return Step(Note(replace(upgrade, stage=ROLLING)), REASON, "no back-up is wanted")
    done = seen.backups.get(upgrade.backup)
    if done is None:
        return Step(StartBackup(upgrade.backup), REASON, f"the back-up {upgrade.backup} comes first")
    if done.phase == BACKUP_FAILED:  # and another attempt is asked for
        name = f"{seen.quorum.name}-up-{seen.quorum.generation}-{seen.quorum.retry[:6].lower()}".rstrip("-")
        return Step(
            Note(replace(upgrade, backup=name, retry=seen.quorum.retry)), REASON, "another back-up is taken"
        )
    if done.phase != COMPLETED:
        return Step(None, REASON, f"the back-up {upgrade.backup} is {done.phase.lower()}")
    return Step(Note(replace(upgrade, stage=ROLLING)), REASON, f"the back-up {upgrade.backup} is there")


def _roll(seen: Observed, head: Member, upgrade: Upgrade, rules: Rules) -> Step:
    return _template(seen, upgrade.target, REASON) or rules.choose(seen, head, upgrade)


def _template(seen: Observed, release: str, reason: str) -> Step | None:
    """Have Pods made of `release` from now on; None where they are."""
    if seen.statefulset is None or seen.statefulset.release == release:
        return None
    return Step(SetRelease(release), reason, f"Pods are of {release} from now on")


def _choose(seen: Observed, head: Member, upgrade: Upgrade) -> Step:
    """Choose whom to change next. A member that is down anyway costs nobody anything; the leader comes last."""
    waiting = sorted(
        behind(seen, head),
        key=lambda each: (each.id == head.id, not trouble(seen, each), -seen.ordinal(each.name)),
    )
    chosen = waiting[0]
    if head.key.state == "running":
        return Step(None, REASON, f"{chosen.name} is next when ceremony {head.key.ceremony} has ended")
    if why := ailing(seen, head.voters, but=chosen.name):
        return Step(None, REASON, f"{chosen.name} is next when the others are well; {why}")
    if chosen.id == head.id:
        successor = heir(seen, head, head.voters)
        if successor is None:
            return Step(None, REASON, "nobody can take over from the leader")
        return hand_over(head, successor)
    return change(upgrade, chosen.name)


def change(upgrade: Upgrade, name: str) -> Step:
    """The member `name` is the next to be changed."""
    return Step(Note(replace(upgrade, member=name)), REASON, f"{name} is next")


def hand_over(head: Member, to: Voter, reason: str = REASON) -> Step:
    """The leader `head` gives leadership to another member."""
    return Step(Transfer(head.name, to.id), reason, f"{head.name} hands over to {to.name}")


def _gate(seen: Observed, head: Member, upgrade: Upgrade, rules: Rules) -> Step:
    """Wait until the member that was changed is well, or has had its time."""
    name = upgrade.member
    voter = next((each for each in head.voters if each.name == name), None)
    if voter is None:
        return Step(Note(replace(upgrade, member="")), REASON, f"{name} is no member any more")
    pod = seen.pods.get(name)
    if pod is None or pod.terminating:
        return Step(None, REASON, f"{name} is being made anew")
    if pod.release != upgrade.target:
        if other := _template(
            seen, upgrade.target, REASON
        ):  # or the next Pod would be of the old release, too
            return other
        if not rules.careful:
            return _delete(seen, voter, upgrade.target, REASON)
        return _exchange(seen, head, voter, upgrade.target, REASON)
    found = rules.judge(seen, head, voter)
    if not found.trouble:
        return Step(Note(replace(upgrade, member="")), REASON, f"{name} is well with {upgrade.target}")
    within = f"within {seen.quorum.spec.health_seconds:g} s"
    if not found.over:
        return Step(None, REASON, f"{name} must be well {within}: {found.trouble}")
    told = f"{name} was not well {within} of being made of {upgrade.target}: {found.trouble}"
    return Step(Note(replace(upgrade, stage=ROLLING_BACK, message=told)), BACK, told)


def _judge(seen: Observed, head: Member, voter: Voter) -> Health:
    """A member is well if nothing is wrong with it and it has its share; its time is counted from its Pod's making."""
    why = trouble(seen, voter) or _shareless(seen, head, voter.name)
    return Health(why, seen.now - seen.pods[voter.name].created >= seen.quorum.spec.health_seconds)


def _shareless(seen: Observed, head: Member, name: str) -> str:
    """A changed member must still have its share of the key."""
    if not head.key.public or name not in head.key.holders:
        return ""
    return "" if seen.members[name].key.holds_share else "it has no share of the key"


def _exchange(seen: Observed, head: Member, voter: Voter, release: str, reason: str) -> Step:
    """Delete a member's Pod, so that another is made of `release`, if that leaves all others well."""
    if head.key.state == "running":
        return Step(None, reason, f"{voter.name} is changed when ceremony {head.key.ceremony} has ended")
    if why := ailing(seen, head.voters, but=voter.name):
        return Step(None, reason, f"{voter.name} is changed when the others are well; {why}")
    if voter.id == head.id:  # it was elected since it was chosen
        successor = heir(seen, head, head.voters)
        if successor is None:
            return Step(None, reason, f"nobody can take over from {voter.name}")
        return hand_over(head, successor, reason)
    return _delete(seen, voter, release, reason)


def _delete(seen: Observed, voter: Voter, release: str, reason: str) -> Step:
    return Step(DeletePod(voter.name, seen.pods[voter.name].uid), reason, f"{voter.name} becomes {release}")


def _roll_back(seen: Observed, head: Member, upgrade: Upgrade) -> Step:
    """The member that failed becomes what it was. The others stay: they are well as they are."""
    if template := _template(seen, upgrade.origin, BACK):
        return template
    voter = next((each for each in head.voters if each.name == upgrade.member), None)
    pod = seen.pods.get(upgrade.member)
    if voter is None:
        return Step(Note(replace(upgrade, stage=FAILED, member="")), BACK, upgrade.message)
    if pod is None or pod.terminating:
        return Step(None, BACK, f"{upgrade.member} is being made anew of {upgrade.origin}")
    if pod.release != upgrade.origin:
        return _exchange(seen, head, voter, upgrade.origin, BACK)
    if why := trouble(seen, voter):
        return Step(None, BACK, f"{upgrade.member} is of {upgrade.origin} again: {why}")
    return Step(Note(replace(upgrade, stage=FAILED, member="")), BACK, upgrade.message)


def _finish(seen: Observed, head: Member, upgrade: Upgrade | None) -> Step | None:
    """Every member is of the wanted release: raise the protocol to the highest that all speak, then it is over."""
    voters = [seen.members[each.name] for each in head.voters if each.name in seen.members]
    common = min((each.protocols[1] for each in voters), default=0)
    if len(voters) == len(head.voters) and common > head.protocol and not seen.quorum.hold_protocol:
        if why := ailing(seen, head.voters):
            return Step(None, REASON, f"protocol {common} is for when all are well; {why}")
        return Step(RaiseProtocol(head.name, common), REASON, f"protocol {common} is spoken by all")
    if upgrade is not None:
        return Step(Note(None), REASON, f"all members are of {seen.quorum.spec.release}")
    return None


RULES = Rules(_choose, _judge)
