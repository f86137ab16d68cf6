"""Objects of the API and members' answers into the records of `observed.py`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from labsupport.operators.quorum_operator import names
from labsupport.operators.quorum_operator.observed import (
    Backup,
    Claim,
    Founder,
    Key,
    Member,
    Pod,
    Quorum,
    Spec,
    StatefulSet,
    Upgrade,
    Voter,
)

Object = Mapping[str, Any]


def quorum(found: Object) -> Quorum:
    """A Quorum of version v1, as the API server has it: with defaults."""
    metadata, status = found["metadata"], found.get("status") or {}
    annotations = metadata.get("annotations") or {}
    upgrade = status.get("upgrade")
    founders = tuple(
        Founder(each["name"], each["id"], each["identity"]) for each in status.get("decided") or ()
    )
    return Quorum(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        spec=_spec(found["spec"]),
        deleting="deletionTimestamp" in metadata,
        retry=annotations.get(names.RETRY, ""),
        upgraded_by=annotations.get(names.UPGRADED_BY, ""),
        hold_protocol=annotations.get(names.PROTOCOL) == "hold",
        founders=founders,
        upgrade=_upgrade(upgrade) if upgrade else None,
        release=status.get("release", ""),
        voters=status.get("voters", 0),
    )


def _spec(spec: Object) -> Spec:
    backup, storage, upgrade = spec.get("backup"), spec.get("storage") or {}, spec.get("upgrade") or {}
    size = spec["size"]
    return Spec(
        size=size,
        release=spec["release"],
        threshold=spec.get("threshold") or size // 2 + 1,
        storage=storage.get("size", "64Mi"),
        storage_class=storage.get("storageClassName", ""),
        resources=spec.get("resources") or {},
        backup=Backup(backup["claimName"], backup.get("schedule", ""), backup.get("keep", 5))
        if backup
        else None,
        backup_required=upgrade.get("backup", "Required") == "Required",
        health_seconds=float(upgrade.get("healthSeconds", 60)),
    )


def _upgrade(said: Object) -> Upgrade:
    keys = ("target", "stage", "origin", "backup", "member", "message", "retry")
    return Upgrade(**{key: said.get(key, "") for key in keys})


def statefulset(found: Object) -> StatefulSet:
    """A member's Pod is of the release that the template's label says."""
    spec = found["spec"]
    labels = spec["template"]["metadata"].get("labels") or {}
    return StatefulSet(spec.get("replicas", 1), labels.get(names.RELEASE, ""))


def pod(found: Object) -> Pod:
    """One Pod."""
    metadata, status = found["metadata"], found.get("status") or {}
    ready = any(
        each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ()
    )
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        release=(metadata.get("labels") or {}).get(names.RELEASE, ""),
        ready=ready,
        terminating="deletionTimestamp" in metadata,
        ip=status.get("podIP", ""),
        created=seconds(metadata["creationTimestamp"]),
        trouble="" if ready else _trouble(status),
    )


def _trouble(status: Object) -> str:
    """Why a Pod does not run, in Kubernetes' own words."""
    for each in status.get("containerStatuses") or ():
        state = each.get("state") or {}
        if waiting := state.get("waiting"):
            last = ((each.get("lastState") or {}).get("terminated") or {}).get("message", "")
            said = [waiting.get("reason", ""), waiting.get("message", ""), *last.strip().splitlines()[-1:]]
            return ": ".join(word for word in said if word)[:300]
        if "running" in state:
            return "it runs and is not ready"
    for each in status.get("conditions") or ():
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return str(each.get("message") or each.get("reason") or "it has no node")[:300]
    return "it has not started"


def seconds(timestamp: str) -> float:
    """RFC 3339 as seconds since the epoch."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def claim(found: Object, of: str) -> Claim:
    """One claim of the Quorum of the name `of`."""
    metadata = found["metadata"]
    return Claim(
        name=metadata["name"],
        uid=metadata["uid"],
        ordinal=names.ordinal(of, metadata["name"].removeprefix("data-")),
        lost=(found.get("status") or {}).get("phase") == "Lost",
        terminating="deletionTimestamp" in metadata,
    )


def member(said: Object) -> Member:
    """The answer to GET /v1/status. Errors: KeyError, TypeError, ValueError where it is none."""
    leader, lowest_highest = said.get("leader") or {}, [int(each) for each in said["protocols"]]
    return Member(
        name=said["name"],
        id=str(said["id"]),
        identity=said["identity"],
        release=said["release"],
        protocols=(lowest_highest[0], lowest_highest[-1]),
        protocol=int(said.get("protocol") or 1),
        phase=said["phase"],
        role=said.get("role") or "",
        term=int(said.get("term") or 0),
        leader=leader.get("name") or "",
        voters=_voters(said.get("voters") or ()),
        learners=_voters(said.get("learners") or ()),
        key=_key(said.get("key") or {}),
        disk_full=bool((said.get("disk") or {}).get("full")),
        problems=tuple(str(each) for each in said.get("problems") or ()),
    )


def _voters(said: Iterable[Object]) -> tuple[Voter, ...]:
    return tuple(
        Voter(
            each["name"],
            str(each["id"]),
            bool(each.get("reachable", True)),
            bool(each.get("caught_up", True)),
        )
        for each in said
    )


def _key(said: Object) -> Key:
    blamed = tuple((each["name"], each.get("reason", "")) for each in said.get("blamed") or ())
    return Key(
        # A key that is handed on stays ready meanwhile; for what may be begun, the ceremony counts.
        state="running" if said.get("running") else said.get("state") or "none",
        ceremony=said.get("ceremony") or "",
        epoch=int(said.get("epoch") or 0),
        threshold=int(said.get("threshold") or 0),
        public=said.get("public") or "",
        holders=tuple(said.get("holders") or ()),
        holds_share=bool(said.get("holds_share")),
        blamed=blamed,
    )
