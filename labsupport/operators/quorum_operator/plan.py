"""From what is seen to what is done next and what is said: a pure function.

At most one step that matters is planned at a time, and what it changes is looked at before the next. What cannot do any
harm (`besides`) goes with it. The table of README.md is this file in words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from labsupport.operators.quorum_operator import founding, keys, resizing, upgrading
from labsupport.operators.quorum_operator.actions import Action, Apply, PointLeader, Remove, SetReplicas
from labsupport.operators.quorum_operator.conditions import Condition, conditions
from labsupport.operators.quorum_operator.health import Step, leader
from labsupport.operators.quorum_operator.observed import Member, Observed

Next = Callable[[Observed, Member], Step | None]


@dataclass(frozen=True)
class Plan:
    """The step that is due (None: nothing), what goes with it, what is said; `finished`: a deletion has ended."""

    step: Step | None
    besides: tuple[Action, ...]
    conditions: tuple[Condition, ...]
    finished: bool = False


def plan(seen: Observed) -> Plan:
    """What to do now."""
    head = leader(seen)
    if seen.quorum.deleting:
        return _delete(seen, head)
    if seen.foreign:
        return Plan(None, (), conditions(seen, head, None))
    step = _next(seen, head)
    besides = (*(Apply(each) for each in seen.missing[1:]), *map(Remove, seen.stale), *_besides(seen, head))
    return Plan(step, besides, conditions(seen, head, step))


def _next(seen: Observed, head: Member | None) -> Step | None:
    if seen.missing:
        first = seen.missing[0]
        what = f"{first['kind']} {first['metadata']['name']}"
        return Step(
            Apply(first), founding.REASON if not seen.quorum.founders else "Repairing", f"{what} is made"
        )
    if step := founding.decide(seen) or founding.tell(seen):
        return step
    if step := _restore_pods(seen, head):
        return step
    if head is None:
        return None  # without a majority nothing is done: each step below could cost what others have written
    for each in steps(seen):
        if step := each(seen, head):
            return step
    return None


def _restore_pods(seen: Observed, head: Member | None) -> Step | None:
    """Somebody scaled the StatefulSet below its voters: their volumes are there, so their Pods may be."""
    known = (
        max((seen.ordinal(each.name) for each in head.voters), default=-1) + 1 if head else seen.quorum.voters
    )
    if seen.statefulset is None or seen.statefulset.replicas >= known:
        return None
    return Step(SetReplicas(known), "Repairing", f"{known} members have a vote and need a Pod")


def steps(seen: Observed) -> tuple[Next, ...]:
    """What is thought of, in this order. While a member is down because of an upgrade, that comes before all else."""
    if upgrading.under_way(seen):
        return (
            resizing.replace,
            upgrading.step,
            keys.step,
            resizing.trim,
            resizing.grow,
            resizing.shrink,
            resizing.ending,
        )
    return (
        resizing.replace,
        _shares,
        resizing.trim,
        resizing.grow,
        resizing.shrink,
        upgrading.step,
        resizing.ending,
    )


def _shares(seen: Observed, head: Member) -> Step | None:
    """The key, unless members are to leave: `shrink` makes new shares for those that stay."""
    leaves = len(head.voters) > seen.quorum.spec.size
    if leaves and head.key.public and head.key.state != "running":
        return None
    return keys.step(seen, head)


def _besides(seen: Observed, head: Member | None) -> tuple[Action, ...]:
    """The leader's Service leads to who leads. Without a leader it stays: a new one is there within a second or so."""
    if head is None or head.name not in seen.pods or not seen.pods[head.name].ip:
        return ()
    pod = seen.pods[head.name]
    return () if seen.endpoint == (pod.ip,) else (PointLeader(pod.name, pod.ip),)


def _delete(seen: Observed, head: Member | None) -> Plan:
    """Remove what does not go with the object by itself: Pods before their volumes, the binding last."""
    said = conditions(seen, head, None)
    if not seen.left:
        return Plan(None, (), said, finished=True)
    return Plan(Step(Remove(seen.left[0]), "Deleting", f"{seen.left[0]} is removed"), (), said)
