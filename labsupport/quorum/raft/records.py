"""What Raft keeps and hands out, as values; and the errors that its caller is meant to handle.

"Paper" is Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm (extended version, 2014);
"dissertation" is Ongaro, Consensus: Bridging Theory and Practice (Stanford, 2014). Indexes and terms count from 1; 0 is
"before the first".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from labsupport.quorum.raft.messages import Message

Kind = Literal["command", "config", "noop"]
Role = Literal["follower", "pre-candidate", "candidate", "leader"]


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the log: a command, a configuration, or the no-op with which a leader begins its term."""

    index: int
    term: int
    kind: Kind
    data: bytes = b""


class HardState(msgspec.Struct, frozen=True):
    """What must be on disk before any message that depends on it is sent (paper, figure 2)."""

    term: int = 0
    vote: int | None = None


class Configuration(msgspec.Struct, frozen=True):
    """Who votes, and who only receives the log (learners: dissertation, section 4.2.1)."""

    voters: frozenset[int] = frozenset()
    learners: frozenset[int] = frozenset()

    @property
    def members(self) -> frozenset[int]:
        """Voters and learners."""
        return self.voters | self.learners

    @property
    def majority(self) -> int:
        """How many voters decide."""
        return len(self.voters) // 2 + 1

    def decided_by(self, ids: set[int]) -> bool:
        """Whether these are a majority of the voters."""
        return len(self.voters & ids) >= self.majority

    def encode(self) -> bytes:
        """The same bytes for the same configuration, wherever they are made: they are an entry's data."""
        return msgspec.msgpack.encode([sorted(self.voters), sorted(self.learners)])

    @staticmethod
    def decode(data: bytes) -> Configuration:
        """The opposite of `encode`; msgspec.DecodeError if it is none."""
        voters, learners = msgspec.msgpack.decode(data, type=tuple[list[int], list[int]])
        return Configuration(frozenset(voters), frozenset(learners))


class Snapshot(msgspec.Struct, frozen=True):
    """The state after the entry at `index` of `term`, with the configuration that held there (paper, section 7)."""

    index: int
    term: int
    configuration: Configuration
    data: bytes = b""


class Position(msgspec.Struct, frozen=True, array_like=True):
    """A place in the log: the entry at `index`, which is of `term`."""

    index: int
    term: int


@dataclass(frozen=True)
class Saved:
    """All that a member has on disk: what it starts with. Entries follow `start` without a gap."""

    hard_state: HardState = field(default_factory=HardState)
    snapshot: Snapshot | None = None
    start: Position = field(default_factory=lambda: Position(0, 0))
    entries: tuple[Entry, ...] = ()


def bootstrap(configuration: Configuration, data: bytes = b"") -> Saved:
    """What each of the first members begins with: the same snapshot, `data` being the state machine's first state.

    A member that is added later begins with `Saved()`, in no configuration, and is sent the snapshot by the leader.
    """
    snapshot = Snapshot(1, 1, configuration, data)
    return Saved(HardState(1), snapshot, Position(1, 1))


@dataclass(frozen=True)
class Read:
    """A confirmed read: once the entry at `index` is applied, the state answers the read of this `context`."""

    context: int
    index: int


@dataclass(frozen=True)
class SoftState:
    """What need not be saved; for status and for telling clients whom to ask."""

    role: Role
    leader: int | None
    term: int
    commit: int
    configuration: Configuration


@dataclass(frozen=True)
class Ready:
    """What the caller must do next, in this order: save, send, restore, apply, answer reads, call `advance()`.

    With a `snapshot_to_save`, `hard_state`, `log_start` and `entries_to_save` are the whole log that stays, not an
    addition: the log on disk is replaced.
    """

    hard_state: HardState | None
    entries_to_save: tuple[Entry, ...]
    snapshot_to_save: Snapshot | None
    log_start: Position
    messages_after_save: tuple[tuple[int, Message], ...]  # to whom, what
    restore: Snapshot | None  # from the leader: the state machine takes this state, then applies `committed`
    committed: tuple[Entry, ...]
    reads: tuple[Read, ...]
    reads_lost: tuple[
        int, ...
    ]  # contexts of reads that this member can no longer confirm: no leader any more
    soft_state: SoftState

    @property
    def must_save(self) -> bool:
        """Whether anything has to reach the disk."""
        return bool(self.hard_state or self.entries_to_save or self.snapshot_to_save)

    def __bool__(self) -> bool:
        return bool(
            self.must_save
            or self.messages_after_save
            or self.restore
            or self.committed
            or self.reads
            or self.reads_lost
        )


@dataclass(frozen=True)
class PeerState:
    """What a leader knows of another member."""

    match: int  # the last entry that it is known to have on disk
    caught_up: bool
    active: bool  # heard of within the last election timeout


class Refused(Exception):
    """Raft does not do what was asked, now or here; nothing was changed."""


class NotLeader(Refused):
    """Only the leader can; `leader` is whom this member holds for it, None if it knows none."""

    def __init__(self, leader: int | None) -> None:
        super().__init__("this member is not the leader" + (f", {leader} is" if leader else ""))
        self.leader = leader


class Busy(Refused):
    """The leader cannot yet: ask again after what the text names."""


class Invalid(Refused):
    """Asked for what must never be done, such as a change of two members at once."""
