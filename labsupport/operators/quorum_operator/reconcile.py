"""One round: look, plan, say, do. Nothing is kept between rounds: any other operator can go on at any point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labsupport.operators.quorum_operator import conditions, kinds, objects
from labsupport.operators.quorum_operator.act import act
from labsupport.operators.quorum_operator.health import leader
from labsupport.operators.quorum_operator.kinds import Api, Object
from labsupport.operators.quorum_operator.observe import Later, Members, Refused, look
from labsupport.operators.quorum_operator.observed import Observed, Quorum
from labsupport.operators.quorum_operator.plan import Plan, plan

Tokens = Callable[[Quorum], tuple[str, str]]  # the client's and the administrator's


@dataclass(frozen=True)
class Round:
    """What was seen and planned; `trouble`: why the step was not done, "" where it was or there was none."""

    seen: Observed
    plan: Plan
    trouble: str = ""


def reconcile(
    api: Api, members: Members, found: Object, authority: str, tokens: Tokens, now: Callable[[], float]
) -> Round:
    """One round for the Quorum `found`.

    Errors: what `api` raises when it refuses or does not answer. A conflict, or a member that refuses, is `trouble`.
    """
    seen = look(api, members, found, authority, now)
    planned = plan(seen)
    if _wants_tokens(seen):
        api.create(kinds.SECRETS, seen.quorum.namespace, objects.tokens(seen.quorum, *tokens(seen.quorum)))
    if not planned.finished:
        say(api, found, seen, planned)
    steps = ([planned.step.action] if planned.step and planned.step.action else []) + [*planned.besides]
    troubles = []
    for action in steps:
        try:
            act(api, members, seen, action)
        except (kinds.Conflict, Later, Refused) as error:
            troubles.append(f"{type(action).__name__}: {error}")
    return Round(seen, planned, "; ".join(troubles))


def _wants_tokens(seen: Observed) -> bool:
    """Secrets cannot be read by the operator, so it makes this one where it must be missing."""
    if seen.quorum.deleting or seen.foreign:
        return False
    refused = any(not each.id for each in seen.members.values())
    return seen.statefulset is None or refused or any("secret" in pod.trouble for pod in seen.pods.values())


def say(api: Api, found: Object, seen: Observed, planned: Plan) -> None:
    """Write what is said into status, if anything of it is new."""
    before: dict[str, Any] = found.get("status") or {}
    at = datetime.fromtimestamp(seen.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = conditions.fields(seen, leader(seen))
    fields["conditions"] = conditions.merged(
        before.get("conditions") or (), planned.conditions, seen.quorum.generation, at
    )
    change = {key: value for key, value in fields.items() if before.get(key) != value}
    if change:
        api.patch(kinds.QUORUMS, seen.quorum.namespace, seen.quorum.name, {"status": change}, "status")
