"""Raft for one member: what happens (ticks, messages, requests) goes in, what is to be done comes out as a Ready.

It does no I/O and knows no clock, so that a run can be repeated exactly. The caller's loop, for all that happens:

    raft.step(sender, message)              # or tick(), propose(), read(), change(), transfer()
    while ready := raft.ready():
        storage.save(ready)                 # fsync; DiskFull: raft.save_failed(), and go on later
        for to, message in ready.messages_after_save: send it (it may be lost)
        if ready.restore: the state machine takes that snapshot's data
        for entry in ready.committed: apply it (config and noop: nothing to do)
        for read in ready.reads: answer it, all up to read.index being applied
        raft.advance()

`step` and the others may be called between `ready` and `advance`, for instance while a thread waits for the disk.
"""

from __future__ import annotations

from random import Random

from labsupport.quorum.raft import election, membership, reads, replication, snapshots
from labsupport.quorum.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    SnapshotChunk,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from labsupport.quorum.raft.node import Node
from labsupport.quorum.raft.records import (
    Configuration,
    HardState,
    PeerState,
    Read,
    Ready,
    Saved,
    Snapshot,
    SoftState,
)


class Raft:
    """One member. Its `id` is never used again after its disk is lost: it would vote twice (paper, section 5.2)."""

    def __init__(
        self, id_: int, saved: Saved, random: Random, *, election_ticks: int = 10, heartbeat_ticks: int = 2
    ) -> None:
        if not 0 < heartbeat_ticks < election_ticks:
            raise ValueError("heartbeats must come more often than elections")
        self._node = Node.start(id_, saved, random, election_ticks, heartbeat_ticks)
        self._saved = saved.hard_state
        self._out: Ready | None = None

    @property
    def id(self) -> int:
        """Of this member."""
        return self._node.id

    @property
    def last_index(self) -> int:
        """Of the newest entry here."""
        return self._node.log.last_index

    @property
    def applied(self) -> int:
        """The last entry that was handed out and advanced over."""
        return self._node.log.applied

    @property
    def snapshot_index(self) -> int:
        """Where the newest snapshot stands; entries after it make the log long: time for `compact`."""
        return self._node.log.snapshot.index if self._node.log.snapshot else 0

    def soft_state(self) -> SoftState:
        """Role, leader, term, commit, members."""
        node = self._node
        return SoftState(node.role, node.leader, node.term, node.log.commit, node.configuration)

    def peers(self) -> dict[int, PeerState]:
        """What a leader knows of the others; empty at any other member."""
        return {
            peer: PeerState(
                progress.match,
                membership.caught_up(self._node, peer),
                progress.silent < self._node.election_ticks,
            )
            for peer, progress in self._node.peers.items()
        }

    def term_of(self, index: int) -> int | None:
        """The term of the entry at `index`; None if it is not here (any more)."""
        return self._node.log.term(index)

    # What happens.

    def tick(self) -> None:
        """Let a tick pass."""
        if self._node.role == "leader":
            replication.tick(self._node)
        election.tick(self._node)
        self._settle()

    def step(self, sender: int, message: Message) -> None:
        """Take a message. Its sender must be known for certain (the transport's certificate): votes depend on it."""
        node = self._node
        if message.term > node.term:
            if isinstance(message, VoteRequest):
                if node.hears_leader() and not message.forced:
                    return  # whoever cannot hear the leader does not depose it (dissertation, section 4.2.3)
                if not message.pre:
                    node.follow(message.term, None)
            elif not (isinstance(message, VoteReply) and message.pre and message.granted):
                node.follow(message.term, None)
        elif message.term < node.term:
            self._refuse(sender, message)
            return
        self._take(sender, message)
        self._settle()

    def _refuse(self, sender: int, message: Message) -> None:
        """Tell who lags behind of the newer term; answers to what was asked in an older one mean nothing now."""
        if isinstance(message, VoteRequest):
            self._node.send(sender, VoteReply(self._node.term, False, message.pre))
        elif isinstance(message, Append | Heartbeat | SnapshotChunk):
            self._node.send(sender, HeartbeatReply(self._node.term))

    def _take(self, sender: int, message: Message) -> None:
        node = self._node
        match message:
            case VoteRequest():
                election.on_vote_request(node, sender, message)
            case VoteReply():
                election.on_vote_reply(node, sender, message)
            case TimeoutNow():
                election.on_timeout_now(node, sender)
            case Append() | Heartbeat() | SnapshotChunk() if node.role != "leader":
                if node.role != "follower" or node.leader != sender:
                    node.follow(message.term, sender)
                node.elapsed = 0
                if isinstance(message, Append):
                    replication.on_append(node, sender, message)
                elif isinstance(message, Heartbeat):
                    replication.on_heartbeat(node, sender, message)
                else:
                    snapshots.on_chunk(node, sender, message)
            case AppendReply() | HeartbeatReply() | SnapshotReply() if progress := node.peers.get(sender):
                progress.silent = 0
                if isinstance(message, AppendReply):
                    replication.on_append_reply(node, progress, message)
                elif isinstance(message, HeartbeatReply):
                    replication.on_heartbeat_reply(node, progress, message)
                else:
                    snapshots.on_chunk_reply(node, progress, message)

    # What is asked for. Refused (NotLeader, Busy, Invalid) changes nothing.

    def propose(self, data: bytes) -> int:
        """Add a command to the log; returns its index.

        It is done when the entry at that index is committed with the term that this member has now; if another one is,
        it never will be.
        """
        return replication.propose(self._node, "command", data)

    def read(self, context: int) -> None:
        """Ask for a read; `context` comes back in Ready.reads, or in Ready.reads_lost if leadership is lost first."""
        reads.read(self._node, context)
        self._settle()

    def change(self, configuration: Configuration) -> int:
        """Change the members by one; returns the index of the entry. Equal to the present: nothing is done."""
        return membership.change(self._node, configuration)

    def transfer(self, to: int) -> None:
        """Hand leadership to a voter; whether it took it is seen in the soft state, within an election timeout."""
        election.transfer(self._node, to)
        self._settle()

    def campaign(self) -> None:
        """Begin an election now rather than at the timeout."""
        if self._node.role != "leader":
            election.campaign(self._node)
            self._settle()

    def step_down(self) -> None:
        """Lead no more, and let another be elected first."""
        if self._node.role == "leader":
            self._node.follow(self._node.term, None)

    def compact(self, index: int, data: bytes, *, keep: int = 1000) -> Snapshot:
        """Let `data`, the state after the applied entry at `index`, stand for all entries but the last `keep` of them.

        It is saved with the next Ready. ValueError if `index` is not applied, or there is such a snapshot.
        """
        return self._node.log.compact(index, data, keep)

    # What is to be done.

    def ready(self) -> Ready:
        """What is to be done now; false if nothing. Called again without `advance`, it gives the same and more."""
        node, log = self._node, self._node.log
        if node.role == "leader":
            replication.flush(node)
        hard_state = HardState(node.term, node.vote)
        whole = log.unsaved_snapshot is not None
        self._out = Ready(
            hard_state=hard_state if whole or hard_state != self._saved else None,
            entries_to_save=log.after(log.start.index if whole else log.saved),
            snapshot_to_save=log.unsaved_snapshot,
            log_start=log.start,
            messages_after_save=tuple(node.outbox),
            restore=log.unrestored,
            committed=log.after(log.applied, until=log.commit),
            reads=tuple(Read(context, index) for context, index in node.confirmed),
            reads_lost=tuple(node.lost),
            soft_state=self.soft_state(),
        )
        return self._out

    def advance(self) -> None:
        """All that the last Ready asked for is done."""
        out, node, log = self._out, self._node, self._node.log
        if out is None:
            raise AssertionError("advance() without ready()")
        self._out = None
        self._saved = out.hard_state or self._saved
        if out.snapshot_to_save is log.unsaved_snapshot:
            log.unsaved_snapshot = None
        if out.restore is log.unrestored:
            log.unrestored = None
        if out.entries_to_save:
            log.saved_to(out.entries_to_save[-1])
        if out.committed:
            log.applied = max(log.applied, out.committed[-1].index)
        del node.outbox[: len(out.messages_after_save)]
        del node.confirmed[: len(out.reads)]
        del node.lost[: len(out.reads_lost)]
        node.disk_failed = node.disk_failed and not out.must_save
        self._settle()

    def save_failed(self) -> None:
        """The last Ready could not be saved (disk full): send nothing that it promised, lead no more.

        What could not be saved stays to be saved: ask `ready` again when there may be room.
        """
        self._out = None
        self._node.outbox.clear()
        self._node.disk_failed = True
        self.step_down()

    def _settle(self) -> None:
        """What follows at the leader, once its knowledge has changed."""
        node = self._node
        if node.role == "leader":
            replication.settle(node)
            reads.settle(node)
            election.settle(node)
            membership.settle(node)
