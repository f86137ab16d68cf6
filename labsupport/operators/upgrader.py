"""A host: upgrades of Quorums by a learner's rules, in place of the Quorum operator's (lab O5).

It makes the upgrades of the Quorums of its namespace whose annotation `quorum.labs.example/upgraded-by` names it; all
else about them stays the operator's. Observing, the stages of an upgrade and what is done for a step are the
operator's own code, but for its caution: who orders two members down at a time gets it. The learner's function
`next_step(members, wanted)` says whom to change next. Where a function `gate(looks, limit)` was sent along, it says
when a member that was changed is well. What they get and return is in `fleet.py`. An answer that is none is told like
any failure of the learner's, and nothing is done.

On stdout are JSON records, one a line. `record` is `upgrade` for each thing that was not so the moment before: `at`,
`quorum`, `said` (what the function answered, or ""), `why`, `leader`, `deletes` (the member whose Pod is made anew, or
""), `acted`. It is `look` for each look at a member that was changed: `quorum`, `name`, and the fields of `fleet.Look`.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.operators import fleet, learner
from labsupport.operators.quorum_operator import kinds, names, objects, parse, upgrading
from labsupport.operators.quorum_operator.act import act
from labsupport.operators.quorum_operator.actions import DeletePod
from labsupport.operators.quorum_operator.health import Step, leader, trouble
from labsupport.operators.quorum_operator.kinds import Api, Object
from labsupport.operators.quorum_operator.kubeapi import KubeApi
from labsupport.operators.quorum_operator.members import Members
from labsupport.operators.quorum_operator.observe import Later, Refused, backups
from labsupport.operators.quorum_operator.observed import Member, Observed, Quorum, Upgrade, Voter
from labsupport.operators.quorum_operator.upgrading import Health, Rules

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
PACE, SOON = 0.5, 0.1  # seconds until the next look: nothing was done, or something
LIMIT = 2.0  # seconds for one call before it is told that it takes long
KEPT = 200  # looks at one member


class Unusable(Exception):
    """A function answered something that is no answer."""


@dataclass
class Learners:
    """The learner's functions as rules of an upgrade. `said` is what they answered last, `looks` what was seen so far
    of the member that was changed, by its Pod's uid.
    """

    choose_next: Callable[..., Any]
    gate: Callable[..., Any] | None = None
    said: str = ""
    looks: dict[str, list[fleet.Look]] = field(default_factory=dict)

    def rules(self) -> Rules:
        """For `upgrading.advance`."""
        return Rules(self.choose, self.judge, careful=False)

    def choose(self, seen: Observed, head: Member, upgrade: Upgrade) -> Step:
        """What `next_step` says, as a step of the operator's. Errors: Unusable; whatever the function raises."""
        members = view(seen, head)
        answer = self.choose_next(members, upgrade.target)
        self.said = repr(answer)
        if isinstance(answer, fleet.Change | fleet.HandOver) and answer.name not in [
            each.name for each in members
        ]:
            raise Unusable(f"next_step answered {answer!r}, and there is no such member")
        match answer:
            case fleet.Change(name):
                if name not in seen.pods or seen.pods[name].terminating:
                    return Step(None, upgrading.REASON, f"{name} has no Pod: it is being made anew")
                return upgrading.change(upgrade, name)
            case fleet.HandOver(name):
                voter = next(each for each in head.voters if each.name == name)
                return upgrading.hand_over(head, voter)
            case fleet.Wait():
                return Step(None, upgrading.REASON, "next_step waits")
            case fleet.Done():
                return Step(
                    None, upgrading.REASON, "next_step says that it is done; not all members are changed"
                )
        raise Unusable(f"next_step answered {answer!r}, which is no step")

    def judge(self, seen: Observed, head: Member, voter: Voter) -> Health:
        """What `gate` says, or the operator's own judgement. Errors: Unusable; whatever the function raises."""
        seconds, uid = seen.quorum.spec.health_seconds, seen.pods[voter.name].uid
        looks = [*self.looks.get(uid, []), look(seen, head, voter)][-KEPT:]
        self.looks = {uid: looks}  # one member at a time is changed
        write({"record": "look", "quorum": seen.quorum.name, "name": voter.name, **asdict(looks[-1])})
        if self.gate is None:
            return upgrading.RULES.judge(seen, head, voter)
        answer = self.gate(looks, seconds)
        self.said = repr(answer)
        if answer not in fleet.ANSWERS:
            raise Unusable(
                f"gate answered {answer!r}, which is none of {', '.join(map(repr, fleet.ANSWERS))}"
            )
        why = trouble(seen, voter) or f"gate says {answer!r}"
        return Health("" if answer == "on" else why, answer == "back")


@dataclass(frozen=True)
class Round:
    """What came of one look: why something or nothing was done, who leads, whose Pod was deleted."""

    why: str
    leader: str = ""
    deletes: str = ""
    acted: bool = False


def view(seen: Observed, head: Member) -> list[fleet.Member]:
    """The voters as an upgrade sees them, by their ordinals."""
    found = []
    for voter in sorted(head.voters, key=lambda each: seen.ordinal(each.name)):
        pod = seen.pods.get(voter.name)
        release = pod.release if pod and not pod.terminating else ""
        found.append(fleet.Member(voter.name, release, voter.id == head.id, trouble(seen, voter)))
    return found


def look(seen: Observed, head: Member, voter: Voter) -> fleet.Look:
    """One look at a member whose Pod is there."""
    pod, member = seen.pods[voter.name], seen.members.get(voter.name)
    return fleet.Look(
        age=round(seen.now - pod.created, 1),
        ready=pod.ready,
        id=member.id if member else "",
        was=voter.id,
        heard=voter.reachable,
        caught_up=voter.caught_up,
        speaks=member.protocols if member else (0, 0),
        protocol=head.protocol,
        holder=bool(head.key.public) and voter.name in head.key.holders,
        has_share=member.key.holds_share if member else False,
    )


def observe(api: Api, members: Members, quorum: Quorum) -> Observed:
    """What an upgrade needs to see; the rest is for the operator to look at."""
    selector = f"{names.QUORUM}={quorum.name},{objects.UID}={quorum.uid}"
    content = api.get(kinds.STATEFULSETS, quorum.namespace, quorum.name)
    pods = {each.name: each for each in map(parse.pod, api.list(kinds.PODS, quorum.namespace, selector))}
    return Observed(
        quorum=quorum,
        now=time.time(),
        statefulset=parse.statefulset(content) if content else None,
        pods=pods,
        members=members.status(quorum, [each for each in pods.values() if each.ip]),
        backups=backups(api, quorum),
    )


def once(api: Api, members: Members, quorum: Quorum, learners: Learners) -> Round:
    """One look and what is due, done. Errors: Unusable; what the functions raise; LabsError."""
    learners.said = ""
    seen = observe(api, members, quorum)
    head = leader(seen)
    if head is None:
        return Round("nobody leads with a majority")
    step = upgrading.advance(seen, head, learners.rules())
    if step is None:
        return Round("nothing is due", head.name)
    deletes = step.action.name if isinstance(step.action, DeletePod) else ""
    if step.action is not None:
        try:
            act(api, members, seen, step.action)
        except (kinds.Conflict, Later, Refused) as error:
            return Round(f"{step.message}; not done: {error}", head.name)
    return Round(step.message, head.name, deletes, step.action is not None)


def write(record: Mapping[str, Any]) -> None:
    """One record, on stdout."""
    print(json.dumps(record), flush=True)


def admin(api: Api, quorum: Quorum) -> str:
    """The administrator's token of a Quorum, from its Secret. Errors: Later while it has none."""
    found = api.get(kinds.SECRETS, quorum.namespace, objects.tokens_name(quorum.name))
    if found is None:
        raise Later("its tokens are not there yet")
    return base64.b64decode(found["data"]["admin"]).decode()


def authority(api: Api, quorum: Quorum) -> str:
    """The certificate of the members' authority, "" while there is none."""
    found = api.get(kinds.CONFIGMAPS, quorum.namespace, f"{quorum.name}-config") or {}
    return str((found.get("data") or {}).get("ca.crt", ""))


def mine(found: Object, name: str) -> bool:
    """Whether a Quorum's upgrades are this host's to make."""
    metadata = found["metadata"]
    left = (metadata.get("annotations") or {}).get(names.UPGRADED_BY) == name
    return left and "deletionTimestamp" not in metadata


class Host:
    """All Quorums of a namespace whose upgrades are left to `name`."""

    def __init__(self, api: Api, function: learner.Learner, namespace: str, name: str) -> None:
        self._api, self._function, self._namespace, self._name = api, function, namespace, name
        self._gate = getattr(sys.modules[learner.MARK], "gate", None)
        self._told: dict[str, tuple[str, Round]] = {}  # by the Quorum's uid
        self._known: dict[str, Learners] = {}
        self._members: Members | None = None

    def look(self) -> bool:
        """One round of each; whether anything was done. Errors: LabsError; Later."""
        found = [each for each in self._api.list(kinds.QUORUMS, self._namespace) if mine(each, self._name)]
        done = [self._round(parse.quorum(each)) for each in found]  # all of them, whatever the first one did
        return any(done)

    def _round(self, quorum: Quorum) -> bool:
        """What the learner's functions do wrong ends the round, not the host."""
        if self._members is None:
            if not (trusted := authority(self._api, quorum)):
                return False
            self._members = Members(trusted, lambda asked: admin(self._api, asked))
        learners = self._known.setdefault(
            quorum.uid, Learners(self._choose, self._judge if self._gate else None)
        )
        try:
            done = once(self._api, self._members, quorum, learners)
        except (LabsError, Later):
            raise
        except Unusable as error:
            learner.tell(self._function.failure(error, "what it returned"))
            done = Round(str(error))
        except Exception as error:  # told by `Learner` already
            done = Round(f"{type(error).__name__}: {error}")
        now = (learners.said, done)
        if self._told.get(quorum.uid) != now:
            self._told[quorum.uid] = now
            at = round(time.time(), 2)
            write({"record": "upgrade", "at": at, "quorum": quorum.name, "said": now[0], **asdict(done)})
        return done.acted

    def _choose(self, members: list[fleet.Member], wanted: str) -> Any:
        return self._function(members, wanted, about=f"{wanted}: {'; '.join(map(str, members))}", limit=LIMIT)

    def _judge(self, looks: list[fleet.Look], limit: float) -> Any:
        with self._function.guard(f"{len(looks)} looks, the last one {looks[-1]}", LIMIT):
            return self._gate(looks, limit) if self._gate else None


def main() -> int:
    """Run until the Pod ends. The name that was given to `lab.deploy` is the argument."""
    function = learner.load()
    with open(NAMESPACE) as file:
        host = Host(KubeApi(kube.connect_in_pod()), function, file.read(), sys.argv[1])
    learner.ready()
    while True:
        acted = False
        try:
            acted = host.look()
        except (LabsError, Later) as error:
            print(f"{type(error).__name__}: {error}", flush=True)
        time.sleep(SOON if acted else PACE)


if __name__ == "__main__":
    sys.exit(main())
