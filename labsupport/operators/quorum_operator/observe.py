"""One look at a Quorum: at its objects in the API, and at what each of its members says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from labsupport.operators.quorum_operator import kinds, names, objects, parse
from labsupport.operators.quorum_operator.kinds import Api, Kind, Object
from labsupport.operators.quorum_operator.observed import (
    Claim,
    Done,
    Member,
    Observed,
    Pod,
    Quorum,
    StatefulSet,
)


class Members(Protocol):
    """The members' HTTP API, as far as the operator goes."""

    def status(self, quorum: Quorum, pods: Iterable[Pod]) -> dict[str, Member]:
        """What those of `pods` say that answer, by name."""

    def ask(self, quorum: Quorum, pod: Pod, path: str, body: Mapping[str, Any]) -> None:
        """POST to a member. Errors: Refused by it; Later, where the same may be asked again in a moment."""


class Refused(Exception):
    """A member said no, and would again."""


class Later(Exception):
    """A member could not do it now, or did not answer."""


def look(api: Api, members: Members, found: Object, authority: str, now: Callable[[], float]) -> Observed:
    """Everything about the Quorum `found`. `authority`: the CA's certificate that its members should trust.

    Read from the API server, not from a cache: what was written a moment ago must be seen.
    """
    quorum = parse.quorum(found)
    selector = f"{names.QUORUM}={quorum.name},{objects.UID}={quorum.uid}"
    content = api.get(kinds.STATEFULSETS, quorum.namespace, quorum.name)
    own = content if content and ours(quorum, content) else None
    statefulset = parse.statefulset(own) if own else None
    pods = {
        each.name: each
        for each in (parse.pod(one) for one in api.list(kinds.PODS, quorum.namespace, selector))
    }
    claims = _claims(api, quorum)
    missing, foreign = (
        ([], []) if quorum.deleting else _children(api, quorum, content, statefulset, authority)
    )
    foreign += [f"PersistentVolumeClaim {each.name}" for each, mine in claims if not mine]
    mine = tuple(each for each, is_ours in claims if is_ours)
    answered = {} if quorum.deleting else members.status(quorum, [each for each in pods.values() if each.ip])
    return Observed(
        quorum=quorum,
        now=now(),
        statefulset=statefulset,
        pods=pods,
        claims=mine,
        members=answered,
        missing=tuple(missing),
        foreign=tuple(foreign),
        backups=backups(api, quorum),
        endpoint=_endpoint(api, quorum),
        stale=_stale(api, quorum),
        left=_left(api, quorum, statefulset, pods.values(), mine) if quorum.deleting else (),
    )


def ours(quorum: Quorum, content: Object) -> bool:
    """Whether an object belongs to this very Quorum: by its owner, or by its label where it can have none."""
    metadata = content["metadata"]
    owners = metadata.get("ownerReferences") or ()
    if content.get("kind") in ("ClusterRoleBinding", "PersistentVolumeClaim"):
        return (metadata.get("labels") or {}).get(objects.UID) == quorum.uid
    return any(each["uid"] == quorum.uid and each.get("controller") for each in owners)


def _children(
    api: Api, quorum: Quorum, content: Object | None, statefulset: StatefulSet | None, authority: str
) -> tuple[list[Object], list[str]]:
    """The objects that are missing or not as they should be, and those of others that are in the way.

    The StatefulSet is not read again: with a release that another program (`upgraded_by`) has just given it, it would
    seem to be changed, and be put back.
    """
    # One that was deleted by hand comes back with as many Pods as there were votes, of what they were.
    replicas = statefulset.replicas if statefulset else max(quorum.spec.size, quorum.voters)
    release = (statefulset.release if statefulset else quorum.release) or quorum.spec.release
    missing, foreign = [], []
    for wanted in objects.children(quorum, authority, replicas, release):
        kind = kinds.BY_NAME[wanted["kind"]]
        metadata = wanted["metadata"]
        if kind is kinds.STATEFULSETS:
            found = content
        else:
            found = api.get(kind, quorum.namespace if kind.namespaced else "", metadata["name"])
        if found is None:
            missing.append(wanted)
        elif not ours(quorum, {"kind": kind.kind, **found}):
            foreign.append(f"{kind.kind} {metadata['name']}")
        elif _differs(found, wanted):
            missing.append(wanted)
    return missing, foreign


def _differs(found: Object, wanted: Object) -> bool:
    said = (found["metadata"].get("annotations") or {}).get(names.APPLIED)
    return bool(said != wanted["metadata"]["annotations"][names.APPLIED])


def _claims(api: Api, quorum: Quorum) -> list[tuple[Claim, bool]]:
    """The claims with the names that the StatefulSet uses, and whether each is this Quorum's."""
    found = [
        (parse.claim(each, quorum.name), ours(quorum, each))
        for each in api.list(kinds.CLAIMS, quorum.namespace)
        if each["metadata"]["name"].startswith(f"data-{quorum.name}-")
    ]
    return [each for each in found if each[0].ordinal >= 0]


def backups(api: Api, quorum: Quorum) -> dict[str, Done]:
    """The back-up that an upgrade waits for."""
    if quorum.upgrade is None or not quorum.upgrade.backup:
        return {}
    found = api.get(kinds.BACKUPS, quorum.namespace, quorum.upgrade.backup)
    if found is None:
        return {}
    status = found.get("status") or {}
    return {quorum.upgrade.backup: Done(status.get("phase", "Waiting"), status.get("message", ""))}


def _stale(api: Api, quorum: Quorum) -> tuple[str, ...]:
    """The schedule of back-ups, where none is wanted any more."""
    if quorum.deleting or (quorum.spec.backup and quorum.spec.backup.schedule):
        return ()
    name = objects.schedule_name(quorum.name)
    found = api.get(kinds.CRONJOBS, quorum.namespace, name)
    return (f"CronJob/{name}",) if found and ours(quorum, found) else ()


def _endpoint(api: Api, quorum: Quorum) -> tuple[str, ...]:
    found = api.get(kinds.SLICES, quorum.namespace, names.leader_service(quorum.name))
    if found is None or not ours(quorum, found):
        return ()
    return tuple(address for each in found.get("endpoints") or () for address in each.get("addresses") or ())


def _left(
    api: Api,
    quorum: Quorum,
    statefulset: StatefulSet | None,
    pods: Iterable[Pod],
    claims: Iterable[Claim],
) -> tuple[str, ...]:
    """What a deletion has to wait for, in its order: Pods end before their volumes do.

    Everything else has the Quorum as its owner and goes with it.
    """
    left: list[tuple[Kind, str]] = []
    if statefulset:
        left.append((kinds.STATEFULSETS, quorum.name))
    left += [(kinds.PODS, each.name) for each in pods]
    left += [(kinds.CLAIMS, each.name) for each in claims]
    binding = names.binding(quorum.namespace, quorum.name)
    content = api.get(kinds.BINDINGS, "", binding)
    if content and ours(quorum, {"kind": "ClusterRoleBinding", **content}):
        left.append((kinds.BINDINGS, binding))
    return tuple(f"{kind.kind}/{name}" for kind, name in left)
