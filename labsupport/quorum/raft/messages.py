"""What members say to each other. All have a `term`; tags are what stands on the wire."""

from __future__ import annotations

import msgspec

from labsupport.quorum.raft.records import Configuration, Entry


class VoteRequest(msgspec.Struct, frozen=True, tag="vote"):
    """RequestVote (paper, section 5.2); with `pre`, the question whether one would be granted (dissertation, 9.6).

    `forced`: the leader itself asked for this election (dissertation, 3.10), so it is no disturbance.
    """

    term: int
    last_index: int
    last_term: int
    pre: bool = False
    forced: bool = False


class VoteReply(msgspec.Struct, frozen=True, tag="voted"):
    """Its `term` is the request's if granted, else the voter's."""

    term: int
    granted: bool
    pre: bool = False


class Append(msgspec.Struct, frozen=True, tag="append"):
    """AppendEntries (paper, section 5.3)."""

    term: int
    previous_index: int
    previous_term: int
    entries: tuple[Entry, ...]
    commit: int


class AppendReply(msgspec.Struct, frozen=True, tag="appended"):
    """`index`: the last entry known to be equal and saved; if `rejected`, the previous index that did not fit.

    Of a rejection, `hint_index` and `hint_term` are the follower's last entry that could fit: so a leader goes back a
    term at a time, not an entry (paper, end of section 5.3).
    """

    term: int
    index: int
    rejected: bool = False
    hint_index: int = 0
    hint_term: int = 0


class Heartbeat(msgspec.Struct, frozen=True, tag="heartbeat"):
    """Says who leads, and what of the follower's log is committed; `round` confirms reads (dissertation, 6.4)."""

    term: int
    commit: int
    round: int = 0


class HeartbeatReply(msgspec.Struct, frozen=True, tag="beaten"):
    """Whoever answers has heard of no higher term since that round began."""

    term: int
    round: int = 0


class SnapshotChunk(msgspec.Struct, frozen=True, tag="snapshot"):
    """InstallSnapshot (paper, figure 13): the bytes from `offset`; `done` with the last ones."""

    term: int
    index: int
    index_term: int
    configuration: Configuration
    offset: int
    data: bytes
    done: bool


class SnapshotReply(msgspec.Struct, frozen=True, tag="chunk"):
    """How many bytes of the snapshot at `index` have been received."""

    term: int
    index: int
    received: int


class TimeoutNow(msgspec.Struct, frozen=True, tag="timeout"):
    """The leader hands over: begin an election at once (dissertation, section 3.10)."""

    term: int


Message = (
    VoteRequest
    | VoteReply
    | Append
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | SnapshotChunk
    | SnapshotReply
    | TimeoutNow
)
