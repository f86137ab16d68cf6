"""Everything that a decision is made of, as frozen records: what the API has, what members say of themselves.

Nothing here asks anybody anything; `observe.py` fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labsupport.operators.quorum_operator import names


@dataclass(frozen=True)
class Backup:
    """Where back-ups go and when."""

    claim: str
    schedule: str = ""
    keep: int = 5


@dataclass(frozen=True)
class Spec:
    """What is wanted. `health_seconds`: how long a changed member may take until it is healthy."""

    size: int
    release: str
    threshold: int
    storage: str = "64Mi"
    storage_class: str = ""
    resources: Mapping[str, Any] = field(default_factory=dict)
    backup: Backup | None = None
    backup_required: bool = True
    health_seconds: float = 60.0


@dataclass(frozen=True)
class Founder:
    """One of the first members: its name, and what it said of itself when it was decided on.

    Ids are hexadecimal, as in the members' API: 63 bits are more than a JSON number can be relied on for.
    """

    name: str
    id: str
    identity: str


@dataclass(frozen=True)
class Upgrade:
    """An upgrade under way, as it is in status. `member`: whose Pod is being changed, "" for none.

    `retry`: the annotation's value when this was begun.
    """

    target: str
    stage: str
    origin: str
    backup: str = ""
    member: str = ""
    message: str = ""
    retry: str = ""


BACKING_UP, ROLLING, ROLLING_BACK, FAILED = "BackingUp", "Rolling", "RollingBack", "Failed"


@dataclass(frozen=True)
class Quorum:
    """The object itself. What follows `hold_protocol` is from its status: what was decided or seen before.

    `upgraded_by`: another program that makes its upgrades; `hold_protocol`: the members' protocol is not to be raised.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    spec: Spec
    deleting: bool = False
    retry: str = ""
    upgraded_by: str = ""
    hold_protocol: bool = False
    founders: tuple[Founder, ...] = ()
    upgrade: Upgrade | None = None
    release: str = ""
    voters: int = 0


@dataclass(frozen=True)
class StatefulSet:
    """Its `replicas`, and the `release` that Pods are made of from now on."""

    replicas: int
    release: str


@dataclass(frozen=True)
class Pod:
    """One Pod; `created` is in seconds since the epoch, `trouble` why it does not run, if it says so."""

    name: str
    uid: str
    release: str
    ready: bool = False
    terminating: bool = False
    ip: str = ""
    created: float = 0.0
    trouble: str = ""


@dataclass(frozen=True)
class Claim:
    """One member's claim for a volume; `lost`: the volume behind it is gone for good."""

    name: str
    uid: str
    ordinal: int
    lost: bool = False
    terminating: bool = False


@dataclass(frozen=True)
class Voter:
    """A voter or learner, as the leader sees it."""

    name: str
    id: str
    reachable: bool = True
    caught_up: bool = True


@dataclass(frozen=True)
class Key:
    """The signing key as a member sees it: none, running, ready or failed. `blamed`: names and why."""

    state: str = "none"
    ceremony: str = ""
    epoch: int = 0
    threshold: int = 0
    public: str = ""
    holders: tuple[str, ...] = ()
    holds_share: bool = False
    blamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Member:
    """What a member says of itself (GET /v1/status). `protocols`: the lowest and highest that it speaks.

    Without an `id` it would not say: `problems` tells why.
    """

    name: str
    id: str
    identity: str
    release: str = ""
    protocols: tuple[int, int] = (1, 1)
    protocol: int = 1
    phase: str = "waiting"
    role: str = "follower"
    term: int = 0
    leader: str = ""
    voters: tuple[Voter, ...] = ()
    learners: tuple[Voter, ...] = ()
    key: Key = Key()
    disk_full: bool = False
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """A back-up: its phase and what is said of it."""

    phase: str
    message: str = ""


@dataclass(frozen=True)
class Observed:
    """One look at a Quorum. `members` by name: who answered. `foreign`: objects in the way that are not ours.

    `now` is in seconds since the epoch; `endpoint`: the addresses that the leader's Service leads to.
    """

    quorum: Quorum
    now: float
    statefulset: StatefulSet | None = None
    pods: Mapping[str, Pod] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    members: Mapping[str, Member] = field(default_factory=dict)
    missing: tuple[Mapping[str, Any], ...] = ()
    foreign: tuple[str, ...] = ()
    backups: Mapping[str, Done] = field(default_factory=dict)
    endpoint: tuple[str, ...] = ()
    left: tuple[str, ...] = ()  # "Kind/name" of what deletion has to wait for
    stale: tuple[str, ...] = ()  # "Kind/name" of what is not wanted any more

    def ordinal(self, name: str) -> int:
        """The ordinal of a member's name."""
        return names.ordinal(self.quorum.name, name)
