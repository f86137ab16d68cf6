"""A small state machine of registers, and clients that write down what they did and saw."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING

import msgspec

from labsupport.quorum.linearizability import Operation
from labsupport.quorum.raft.records import Entry, Read, Refused

if TYPE_CHECKING:
    from tests.quorum.raft.world import Member

KEYS = ("a", "b", "c")
PATIENCE = 150  # units until a client gives up


class Command(msgspec.Struct, array_like=True):
    kind: str
    key: str
    value: str
    expected: str | None


@dataclass
class Registers:
    """The state: a value for each key, and how the last command ended."""

    values: dict[str, str] = field(default_factory=dict)
    done: bool = True

    def apply(self, entry: Entry) -> None:
        if entry.kind != "command":
            return
        command = msgspec.msgpack.decode(entry.data, type=Command)
        self.done = command.kind == "put" or self.values.get(command.key) == command.expected
        if self.done:
            self.values[command.key] = command.value

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(sorted(self.values.items()))

    @staticmethod
    def decode(data: bytes) -> Registers:
        return Registers(dict(msgspec.msgpack.decode(data, type=list[tuple[str, str]])))


@dataclass
class Waiting:
    """An operation without an answer yet, at a member's incarnation."""

    operation: Operation
    member: int
    incarnation: int
    index: int | None = None  # of its entry, and that entry's term
    term: int = 0


class Clients:
    """Five of them, one operation at a time each; what they ask goes to a member that holds itself for the leader."""

    def __init__(self, random: Random, count: int = 5) -> None:
        self._random = random
        self._waiting: dict[int, Waiting | None] = dict.fromkeys(range(count))
        self._count = 0
        self._moment = 0
        self.history: list[Operation] = []

    def _now(self, now: int) -> float:
        """Two things never happen at the same time: within a unit they have an order."""
        self._moment += 1
        return now + self._moment / 1e7

    def ask(self, now: int, members: list[Member]) -> list[Member]:
        """Let clients without an operation begin one; returns the members that were asked."""
        asked = []
        for client, waiting in self._waiting.items():
            if waiting or self._random.random() > 0.1:
                continue
            leaders = [member for member in members if member.raft.soft_state().role == "leader"]
            if not leaders:
                return asked
            member = self._random.choice(leaders)
            if self._begin(client, member, now):
                asked.append(member)
        return asked

    def _begin(self, client: int, member: Member, now: int) -> bool:
        self._count += 1
        key, kind = self._random.choice(KEYS), self._random.choice(["get", "get", "put", "cas"])
        expected = None
        if kind == "cas":
            expected = member.registers.values.get(key)
        value = f"{client}-{self._count}"
        operation = Operation(client, key, kind, self._now(now), None, value, expected)  # type: ignore[arg-type]
        waiting = Waiting(operation, member.id, member.incarnation)
        try:
            if kind == "get":
                member.raft.read(client * 1_000_000 + self._count)
                waiting.term = client * 1_000_000 + self._count
            else:
                command = Command(kind, key, value, expected)
                waiting.index = member.raft.propose(msgspec.msgpack.encode(command))
                waiting.term = member.raft.soft_state().term
        except Refused:
            return False
        self._waiting[client] = waiting
        return True

    def _end(self, client: int, operation: Operation | None) -> None:
        self._waiting[client] = None
        if operation:
            self.history.append(operation)

    def _at(self, member: Member) -> list[tuple[int, Waiting]]:
        where = (member.id, member.incarnation)
        return [(c, w) for c, w in self._waiting.items() if w and (w.member, w.incarnation) == where]

    def applied(self, member: Member, entry: Entry, now: int) -> None:
        """An entry was applied: an answer for who proposed it; a certain no for who proposed another one there."""
        for client, waiting in self._at(member):
            if waiting.index == entry.index:
                if waiting.term == entry.term:
                    operation = replace(
                        waiting.operation, returned=self._now(now), done=member.registers.done
                    )
                    self._end(client, operation)
                else:
                    self._end(client, None)

    def skipped(self, member: Member, index: int) -> None:
        """A snapshot came: what was proposed before it may be in it or not."""
        for client, waiting in self._at(member):
            if waiting.index is not None and waiting.index <= index:
                self._end(client, waiting.operation)

    def read(self, member: Member, read: Read, now: int) -> None:
        """A read is confirmed: the state answers it."""
        assert member.raft.applied >= 0
        for client, waiting in self._at(member):
            if waiting.index is None and waiting.term == read.context:
                value = member.registers.values.get(waiting.operation.key)
                self._end(client, replace(waiting.operation, returned=self._now(now), value=value))

    def lost(self, contexts: tuple[int, ...]) -> None:
        """Reads that nobody will answer."""
        for client, waiting in list(self._waiting.items()):
            if waiting and waiting.index is None and waiting.term in contexts:
                self._end(client, None)

    def crashed(self, member: Member) -> None:
        """Nobody knows what became of what it was asked."""
        for client, waiting in self._at(member):
            self._end(client, waiting.operation)

    def give_up(self, now: int) -> None:
        """Whoever has waited long enough goes on without an answer."""
        for client, waiting in list(self._waiting.items()):
            if waiting and now - waiting.operation.called > PATIENCE:
                self._end(client, waiting.operation)
