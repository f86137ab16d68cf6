"""What a plan may ask for. Each is one write and does no harm if done twice: who was interrupted looks again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labsupport.operators.quorum_operator.observed import Founder, Upgrade


@dataclass(frozen=True)
class Apply:
    """Make an object, or make it as it should be."""

    content: Mapping[str, Any]


@dataclass(frozen=True)
class Decide:
    """Write the first members into status, before any of them is told."""

    founders: tuple[Founder, ...]


@dataclass(frozen=True)
class Note:
    """Write into status where an upgrade is; None: there is none."""

    upgrade: Upgrade | None


@dataclass(frozen=True)
class SetReplicas:
    """How many Pods there are."""

    replicas: int


@dataclass(frozen=True)
class SetRelease:
    """Of which release Pods are made from now on; those that run stay as they are."""

    release: str


@dataclass(frozen=True)
class Bootstrap:
    """Tell one member who the first members are."""

    member: str
    founders: tuple[Founder, ...]


@dataclass(frozen=True)
class Ceremony:
    """Have `holders` (ids) make the key, or new shares of it. Its `name` makes a repetition the same one."""

    leader: str
    name: str
    threshold: int
    holders: tuple[str, ...]


@dataclass(frozen=True)
class AddMember:
    """A learner, which gets its vote when it has caught up."""

    leader: str
    name: str
    id: str
    identity: str


@dataclass(frozen=True)
class RemoveMember:
    """Take a member's vote."""

    leader: str
    name: str
    id: str


@dataclass(frozen=True)
class Transfer:
    """Leadership goes to another member."""

    leader: str
    to: str


@dataclass(frozen=True)
class DeletePod:
    """This very Pod (uid); the StatefulSet makes another."""

    name: str
    uid: str


@dataclass(frozen=True)
class DeleteClaim:
    """This very claim (uid), with the volume behind it."""

    name: str
    uid: str


@dataclass(frozen=True)
class RaiseProtocol:
    """All members speak this version from now on."""

    leader: str
    version: int


@dataclass(frozen=True)
class StartBackup:
    """Make a QuorumBackup of this name."""

    name: str


@dataclass(frozen=True)
class PointLeader:
    """The leader's Service leads to this Pod; to none where `ip` is ""."""

    pod: str
    ip: str


@dataclass(frozen=True)
class Remove:
    """Delete an object of the Quorum's: "Kind/name"."""

    what: str


Action = (
    Apply
    | Decide
    | Note
    | SetReplicas
    | SetRelease
    | Bootstrap
    | Ceremony
    | AddMember
    | RemoveMember
    | Transfer
    | DeletePod
    | DeleteClaim
    | RaiseProtocol
    | StartBackup
    | PointLeader
    | Remove
)
