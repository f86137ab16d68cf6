"""What a plan asks for, done: each action is one write to the API server or one request to a member."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from labsupport.operators.quorum_operator import actions, kinds, names, objects
from labsupport.operators.quorum_operator.actions import Action
from labsupport.operators.quorum_operator.kinds import Api, Kind, Object
from labsupport.operators.quorum_operator.observe import Later, Members
from labsupport.operators.quorum_operator.observed import Founder, Observed

REMOVED = {
    each.kind: each for each in (kinds.STATEFULSETS, kinds.PODS, kinds.CLAIMS, kinds.BINDINGS, kinds.CRONJOBS)
}
ADMIN = "/v1/admin"


def act(api: Api, members: Members, seen: Observed, action: Action) -> None:
    """Do it. Errors: kinds.Conflict, observe.Later (look again), observe.Refused, and what `api` raises."""
    quorum = seen.quorum
    place = quorum.namespace
    match action:
        case actions.Apply(content):
            _apply(api, place, content)
        case actions.Decide(founders):
            _status(api, seen, {"decided": [asdict(each) for each in founders]})
        case actions.Note(upgrade):
            _status(api, seen, {"upgrade": asdict(upgrade) if upgrade else None})
        case actions.SetReplicas(replicas):
            # The whole object again: what is applied and what is patched must not fight over one field.
            api.apply(kinds.STATEFULSETS, place, objects.marked(_statefulset(seen, replicas=replicas)))
        case actions.SetRelease(release):
            api.apply(kinds.STATEFULSETS, place, objects.marked(_statefulset(seen, release=release)))
        case actions.DeletePod(pod, uid):
            api.delete(kinds.PODS, place, pod, uid)
        case actions.DeleteClaim(claim, uid):
            api.delete(kinds.CLAIMS, place, claim, uid)
        case actions.StartBackup(backup):
            api.create(kinds.BACKUPS, place, _backup(seen, backup))
        case actions.PointLeader(pod, ip):
            api.apply(kinds.SLICES, place, objects.endpoints(quorum, pod, ip))
        case actions.Remove(what):
            kind, _, target = what.partition("/")
            namespace = place if REMOVED[kind].namespaced else ""
            api.delete(REMOVED[kind], namespace, target)
        case _:
            _ask(members, seen, action)


def _apply(api: Api, place: str, content: Mapping[str, Any]) -> None:
    kind: Kind = kinds.BY_NAME[content["kind"]]
    api.apply(kind, place if kind.namespaced else "", content)


def _status(api: Api, seen: Observed, change: Mapping[str, Any]) -> None:
    api.patch(kinds.QUORUMS, seen.quorum.namespace, seen.quorum.name, {"status": change}, "status")


def _statefulset(seen: Observed, *, replicas: int | None = None, release: str = "") -> Object:
    now = seen.statefulset
    if now is None:
        raise Later("the StatefulSet is gone")
    return objects.statefulset(
        seen.quorum, now.replicas if replicas is None else replicas, release or now.release
    )


def _backup(seen: Observed, name: str) -> Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": "QuorumBackup",
        "metadata": objects.metadata(seen.quorum, name),
        "spec": {"quorum": seen.quorum.name},
    }


def _ask(members: Members, seen: Observed, action: Action) -> None:
    """Actions that are a member's to do."""
    path: str
    body: Object
    match action:
        case actions.Bootstrap(member, founders):
            told = [_founder(each) for each in founders]
            path, body = "bootstrap", {"cluster": seen.quorum.uid, "members": told}
        case actions.Ceremony(member, name, threshold, holders):
            path, body = "key", {"ceremony": name, "threshold": threshold, "holders": list(holders)}
        case actions.AddMember(member, name, number, identity):
            path, body = "members", {"add": {"id": number, "name": name, "identity": identity}}
        case actions.RemoveMember(member, name, number):
            path, body = "members", {"remove": number}
        case actions.Transfer(member, to):
            path, body = "transfer", {"to": to}
        case actions.RaiseProtocol(member, version):
            path, body = "protocol", {"version": version}
        case _:
            raise TypeError(f"nobody does {action}")
    pod = seen.pods.get(member)
    if pod is None or not pod.ip:
        raise Later(f"{member} is gone")
    members.ask(seen.quorum, pod, f"{ADMIN}/{path}", body)
    if isinstance(action, actions.RemoveMember):
        # The first time its vote goes; once that is decided, its name is forgotten, and what it is blamed for.
        with contextlib.suppress(Later):
            members.ask(seen.quorum, pod, f"{ADMIN}/{path}", body)


def _founder(founder: Founder) -> Object:
    return {"id": founder.id, "name": founder.name, "identity": founder.identity}
