"""A member's state, and the few changes of it that all parts of the protocol share."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from labsupport.quorum.raft.log import Log
from labsupport.quorum.raft.messages import Message
from labsupport.quorum.raft.records import Configuration, NotLeader, Position, Role, Saved, Snapshot


@dataclass
class Progress:
    """What a leader knows of a peer. At most one append or chunk is in flight; what comes meanwhile goes together."""

    next: int  # the first entry that it is to be sent
    match: int = 0
    waiting: int = 0  # ticks until what is in flight is held for lost; 0: nothing is
    silent: int = 0  # ticks since it was heard of
    told: int = 0  # the commit that it was last told
    round: int = 0  # the last round of heartbeats that it answered
    snapshot: Snapshot | None = None  # being sent
    received: int = 0  # bytes of it that have arrived


@dataclass
class Incoming:
    """A snapshot of which not all has arrived."""

    position: Position
    data: bytearray = field(default_factory=bytearray)


@dataclass
class Node:
    """Everything a member knows. Times are ticks."""

    id: int
    random: Random
    log: Log
    term: int
    vote: int | None
    election_ticks: int
    heartbeat_ticks: int
    role: Role = "follower"
    leader: int | None = None
    elapsed: int = 0  # since the leader was heard of, or an election began
    timeout: int = 0  # when `elapsed` reaches it, an election begins
    beat: int = 0  # since the last heartbeats
    votes: dict[int, bool] = field(default_factory=dict)
    peers: dict[int, Progress] = field(default_factory=dict)
    leaving: dict[int, int] = field(default_factory=dict)  # removed members: the entry that removes them
    incoming: Incoming | None = None
    successor: int | None = None  # to whom leadership is being handed
    handover: int = 0  # ticks since that began
    told_to_begin: bool = False
    round: int = 0  # the newest round of heartbeats
    beat_due: bool = False
    unasked: list[int] = field(default_factory=list)  # reads that wait for this term's first commit
    asked: list[tuple[int, int, int]] = field(default_factory=list)  # context, index, round
    confirmed: list[tuple[int, int]] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    outbox: list[tuple[int, Message]] = field(default_factory=list)
    disk_failed: bool = False  # nothing could be saved: no campaign until something was

    @staticmethod
    def start(id_: int, saved: Saved, random: Random, election_ticks: int, heartbeat_ticks: int) -> Node:
        """Begin with what is on disk, as a follower."""
        term, vote = saved.hard_state.term, saved.hard_state.vote
        if (
            saved.snapshot and saved.snapshot.term > term
        ):  # installed, but the term was not saved before a crash
            term, vote = saved.snapshot.term, None
        node = Node(id_, random, Log(saved), term, vote, election_ticks, heartbeat_ticks)
        node.follow(term, None)
        return node

    @property
    def configuration(self) -> Configuration:
        """The newest in the log."""
        return self.log.configuration

    @property
    def own_term_committed(self) -> bool:
        """Whether an entry of this term is committed: only then is all of earlier terms known to be (paper, 5.4.2)."""
        return self.log.term(self.log.commit) == self.term

    def hears_leader(self) -> bool:
        """Whether a leader was heard of within the shortest election timeout (dissertation, section 4.2.3)."""
        return self.leader is not None and self.elapsed < self.election_ticks

    def send(self, to: int, message: Message) -> None:
        """Hand it out with the next Ready: only after what it promises is saved."""
        self.outbox.append((to, message))

    def follow(self, term: int, leader: int | None) -> None:
        """Become a follower of `leader`, or of whoever will lead; a new term has no vote yet."""
        if term > self.term:
            self.term, self.vote = term, None
        self.role, self.leader = "follower", leader
        self.restart()
        self.lost += self.unasked + [context for context, _, _ in self.asked]
        self.unasked, self.asked = [], []
        self.peers, self.votes, self.leaving = {}, {}, {}
        self.successor, self.beat_due = None, False

    def restart(self) -> None:
        """Begin a new election timeout, of a random length so that two rarely end together (paper, section 5.2)."""
        self.elapsed = 0
        self.timeout = self.random.randrange(self.election_ticks, 2 * self.election_ticks)

    def require_leader(self) -> None:
        """Raise NotLeader unless this member leads."""
        if self.role != "leader":
            raise NotLeader(self.leader)
