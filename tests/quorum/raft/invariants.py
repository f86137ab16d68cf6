"""What must hold of all members together, looked at after each step (paper, figure 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labsupport.quorum.raft.messages import VoteReply, VoteRequest
from labsupport.quorum.raft.records import Configuration, Entry, Ready, Snapshot

if TYPE_CHECKING:
    from tests.quorum.raft.world import Member


class Violated(AssertionError):
    """A property of Raft does not hold."""


class Invariants:
    """All that was ever seen of terms, votes, entries and states, and whether it fits together."""

    def __init__(self, first: Configuration) -> None:
        self.leaders: dict[int, int] = {}
        self.votes: dict[tuple[int, int], int] = {}
        self.entries: dict[tuple[int, int], tuple[Entry, int | None]] = {}
        self.committed: dict[int, Entry] = {}
        self.committed_by: dict[int, int] = {}  # the term in which it was first known to be
        self.configurations: dict[int, Configuration] = {1: first}
        self.states: dict[int, bytes] = {}
        self._commits: dict[tuple[int, int], int] = {}

    def role(self, member: Member) -> None:
        """Election safety, leader completeness, commit that never goes back."""
        soft = member.raft.soft_state()
        commits = (member.id, member.incarnation)
        if soft.commit < self._commits.get(commits, 0):
            raise Violated(f"{member.id}: commit went back from {self._commits[commits]} to {soft.commit}")
        self._commits[commits] = soft.commit
        if soft.role != "leader" or self.leaders.get(soft.term) == member.id:
            return
        if soft.term in self.leaders:
            raise Violated(
                f"election safety: {self.leaders[soft.term]} and {member.id} lead term {soft.term}"
            )
        self.leaders[soft.term] = member.id
        for index, entry in self.committed.items():
            here = member.raft.term_of(index)
            lost = here != entry.term if here is not None else index > member.raft.snapshot_index
            if self.committed_by[index] < soft.term and lost:
                raise Violated(f"leader completeness: {member.id} leads term {soft.term} without {entry}")

    def saved(self, member: Member, ready: Ready) -> None:
        """Log matching: the same index and term mean the same entry, after the same one."""
        previous = ready.entries_to_save and member.raft.term_of(ready.entries_to_save[0].index - 1)
        for entry in ready.entries_to_save:
            known = self.entries.setdefault((entry.index, entry.term), (entry, previous or 0))
            if known != (entry, previous or 0):
                raise Violated(
                    f"log matching: {member.id} has {entry} after term {previous}, another {known}"
                )
            previous = entry.term
        if ready.snapshot_to_save:
            self.snapshot(member, ready.snapshot_to_save)

    def snapshot(self, member: Member, snapshot: Snapshot) -> None:
        """A snapshot is what the log up to it gives, members included."""
        if snapshot.index in self.states and self.states[snapshot.index] != snapshot.data:
            raise Violated(f"state machine safety: {member.id} has another state at {snapshot.index}")
        last = max((index for index in self.configurations if index <= snapshot.index), default=0)
        if snapshot.configuration != self.configurations.get(last):
            raise Violated(f"{member.id}: the snapshot at {snapshot.index} has other members than the log")

    def applied(self, member: Member, entry: Entry, state: bytes) -> None:
        """State machine safety: at each index all apply the same and have the same state."""
        known = self.committed.setdefault(entry.index, entry)
        if known != entry:
            raise Violated(f"state machine safety: {member.id} applies {entry}, another {known}")
        term = member.raft.soft_state().term
        self.committed_by[entry.index] = min(term, self.committed_by.get(entry.index, term))
        if self.states.setdefault(entry.index, state) != state:
            raise Violated(f"state machine safety: {member.id} has another state at {entry.index}")
        if entry.kind == "config":
            self.configurations[entry.index] = Configuration.decode(entry.data)

    def sent(self, member: Member, to: int, message: object) -> None:
        """One vote a term, whatever happened in between."""
        if isinstance(message, VoteReply) and message.granted and not message.pre:
            self._vote(message.term, member.id, to)
        elif isinstance(message, VoteRequest) and not message.pre:
            self._vote(message.term, member.id, member.id)

    def _vote(self, term: int, voter: int, candidate: int) -> None:
        if self.votes.setdefault((term, voter), candidate) != candidate:
            raise Violated(f"{voter} voted twice in term {term}: {self.votes[term, voter]} and {candidate}")
