"""A whole cluster in one process, by seed: a network that loses, members that crash, clients that note what they saw.

Time passes in units, of which a tick has four. All that happens is chosen by one random generator, so a seed is a run
that can be repeated. Each member's storage is the real one on a disk that forgets (`disk.py`).
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from labsupport.quorum.linearizability import Operation
from labsupport.quorum.raft import replication, snapshots
from labsupport.quorum.raft.core import Raft
from labsupport.quorum.raft.messages import Message
from labsupport.quorum.raft.records import Configuration, Ready, Refused, bootstrap
from labsupport.quorum.raft.storage import DiskFull, Storage
from tests.quorum.raft.disk import Crash, Disk
from tests.quorum.raft.invariants import Invariants, Violated
from tests.quorum.raft.register import Clients, Registers

UNITS = 4  # of time in a tick
COMPACT_AFTER = 25  # entries since the last snapshot


@dataclass(frozen=True)
class Faults:
    """How often what happens: chances within a unit of time, or for one message."""

    lose: float = 0.02
    duplicate: float = 0.02
    linger: float = 0.03  # a message takes very long
    crash: float = 0.002
    crash_saving: float = 0.003  # for each save
    crash_sent: float = 0.002  # for each save, once what it promises is sent
    restart: float = 0.02
    power: float = 0.5  # of crashes: all that was not synced is lost
    cut: float = 0.004
    heal: float = 0.01
    full: float = 0.0005
    change: float = 0.004
    transfer: float = 0.003
    pause: float = 0.002  # the process stops for a while and knows nothing of it
    hold: float = 0.1  # a save takes some time, and the member goes on meanwhile


@dataclass
class Member:
    """One member, running or not."""

    id: int
    disk: Disk
    raft: Raft
    storage: Storage
    registers: Registers
    incarnation: int = 0
    running: bool = True
    held: Ready | None = None
    full: bool = False
    paused_until: int = 0
    backlog: int = 0  # units until it has read what came meanwhile
    phase: int = 0  # when it ticks


@dataclass
class World:
    """`size` members. `run` is the storm, `settle` the calm in which everything must come right."""

    size: int
    seed: int
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.now = 0
        self.calm = False
        # Small enough that a member has parts of what others have: of a log, and of a snapshot.
        replication.APPEND_BYTES = self.random.choice([1, 80, 1 << 20])
        snapshots.CHUNK_BYTES = self.random.choice([7, 1 << 18])
        self.members: dict[int, Member] = {}
        self.network: list[tuple[int, int, int, int, Message]] = []
        self.count = 0
        self.cuts: set[tuple[int, int]] = set()
        self.first = Configuration(frozenset(range(1, self.size + 1)))
        self.invariants = Invariants(self.first)
        self.clients = Clients(self.random)
        self.happened: dict[str, int] = {}
        saved = bootstrap(self.first, Registers().encode())
        for id_ in sorted(self.first.voters):
            disk = Disk()
            Storage(disk).replace(saved)
            self._start(id_, disk)

    # The storm.

    def run(self, units: int) -> None:
        """Let so many units pass, with faults."""
        for _ in range(units):
            self._unit()
            self._misfortune()

    def settle(self, units: int = 4000) -> None:
        """No more faults: within so many units there is a leader, and all members have all; else Violated."""
        self.calm = True
        self.cuts.clear()
        for member in list(self.members.values()):
            member.full, member.paused_until = False, 0
            member.disk.fail_at = None
            if not member.running:
                self._restart(member)
        for unit in range(units):
            self._unit()
            if unit % 40 == 0 and self._is_calm():
                return
        states = {member.id: member.raft.soft_state() for member in self.members.values()}
        raise Violated(f"no agreement after {units} units without faults: {states}")

    @property
    def history(self) -> list[Operation]:
        """What the clients saw."""
        return self.clients.history

    def _is_calm(self) -> bool:
        leader = self._leader()
        if leader is None or self.network == []:
            return False
        soft = leader.raft.soft_state()
        last = max(self.invariants.committed, default=1)
        return (
            soft.commit == leader.raft.last_index >= last
            and leader.raft.term_of(soft.commit) == soft.term
            and all(self.members[id_].raft.applied == soft.commit for id_ in soft.configuration.members)
        )

    def _unit(self) -> None:
        self.now += 1
        for member in list(self.members.values()):
            if not member.running or self._paused(member):
                continue
            if member.held and self.random.random() < 0.3:
                self._guarded(member, partial(self._finish, member))
            if (
                member.running
                and (self.now + member.phase) % UNITS == 0
                and (self.calm or self.random.random() < 0.95)
            ):
                member.raft.tick()
                self._handle(member)
        while self.network and self.network[0][0] <= self.now:
            _, count, sender, to, message = heapq.heappop(self.network)
            member = self.members[to]
            if self._paused(member):
                later = member.paused_until + member.backlog + self.random.randint(0, 3)
                heapq.heappush(self.network, (later, count, sender, to, message))
                continue
            if member.running and (sender, to) not in self.cuts:
                member.raft.step(sender, message)
                if self.calm or self.random.random() < 0.8:  # else together with what comes next
                    self._handle(member)
        if not self.calm:
            able = [m for m in self.members.values() if m.running and not self._paused(m)]
            for member in self.clients.ask(self.now, able):
                self._handle(member)
        self.clients.give_up(self.now)

    # A member's loop.

    def _handle(self, member: Member) -> None:
        self.invariants.role(member)
        self._guarded(member, partial(self._loop, member))

    def _guarded(self, member: Member, work: Callable[[], None]) -> None:
        try:
            work()
        except Crash:
            self._crash(member)

    def _loop(self, member: Member) -> None:
        while member.running and member.held is None and (ready := member.raft.ready()):
            self.invariants.saved(member, ready)
            if not self._save(member, ready):
                return
            member.held = ready
            if not self.calm and self.random.random() < self.faults.hold:
                return
            self._finish(member)

    def _save(self, member: Member, ready: Ready) -> bool:
        disk = member.disk
        disk.fail_at = disk.error = None
        if not self.calm and self.random.random() < self.faults.crash_saving:
            disk.fail_at, disk.partly = disk.operations + self.random.randint(1, 4), self.random.random()
            disk.unrenamed = self.random.random() < 0.5
        elif member.full:
            disk.fail_at, disk.error = disk.operations + 1, errno.ENOSPC
        try:
            member.storage.save(ready)
        except DiskFull:
            self._note("disk full")
            member.raft.save_failed()
            return False
        finally:
            disk.fail_at = disk.error = None
        return True

    def _finish(self, member: Member) -> None:
        ready, member.held = member.held, None
        assert ready is not None
        for to, message in ready.messages_after_save:
            self._send(member, to, message)
        if ready.messages_after_save and not self.calm and self.random.random() < self.faults.crash_sent:
            raise Crash
        if ready.restore:
            self._note("snapshot installed")
            self.invariants.snapshot(member, ready.restore)
            member.registers = Registers.decode(ready.restore.data)
            self.clients.skipped(member, ready.restore.index)
        for entry in ready.committed:
            member.registers.apply(entry)
            self.invariants.applied(member, entry, member.registers.encode())
            self.clients.applied(member, entry, self.now)
        for read in ready.reads:
            self.clients.read(member, read, self.now)
        self.clients.lost(ready.reads_lost)
        member.raft.advance()
        self.invariants.role(member)
        applied = member.raft.applied
        if applied - member.raft.snapshot_index > COMPACT_AFTER and ready.committed:
            self._note("compacted")
            member.raft.compact(applied, member.registers.encode(), keep=self.random.choice([0, 3, 10]))

    def _send(self, member: Member, to: int, message: Message) -> None:
        self.invariants.sent(member, to, message)
        if to not in self.members or self.random.random() < self.faults.lose:
            return
        for _ in range(2 if self.random.random() < self.faults.duplicate else 1):
            delay = self.random.randint(1, 5)
            if self.random.random() < self.faults.linger:
                delay = self.random.randint(20, 200)
            self.count += 1
            heapq.heappush(self.network, (self.now + delay, self.count, member.id, to, message))

    # Misfortunes.

    def _misfortune(self) -> None:
        chance, faults = self.random.random, self.faults
        for member in list(self.members.values()):
            if member.running and chance() < faults.crash:
                self._crash(member)
            elif not member.running and chance() < faults.restart:
                self._restart(member)
            if chance() < faults.full:
                member.full = not member.full
            elif member.full and chance() < 0.01:
                member.full = False
        if chance() < faults.cut:
            self._cut()
        if self.cuts and chance() < faults.heal:
            self.cuts.clear()
        leader = self._leader()
        if leader and chance() < faults.pause:
            self._note("pause")
            leader.paused_until = self.now + self.random.randint(20, 300)
            leader.backlog = self.random.randint(0, 20)
        if leader and chance() < faults.change:
            self._change(leader)
        if leader and chance() < faults.transfer:
            self._ask(
                leader, lambda raft: raft.transfer(self.random.choice(sorted(self.first.voters))), "transfer"
            )

    def _crash(self, member: Member) -> None:
        self._note("crash")
        member.running, member.held = False, None
        member.disk.fail_at = member.disk.error = None
        self.clients.crashed(member)
        if self.random.random() < self.faults.power:
            member.disk.lose_power(self.random)

    def _restart(self, member: Member) -> None:
        del self.members[member.id]
        self._start(member.id, member.disk, member.incarnation + 1)

    def _start(self, id_: int, disk: Disk, incarnation: int = 0) -> None:
        storage = Storage(disk)
        snapshot = storage.saved.snapshot
        raft = Raft(id_, storage.saved, Random(self.random.random()))
        registers = Registers.decode(snapshot.data) if snapshot else Registers()
        member = Member(id_, disk, raft, storage, registers, incarnation, phase=self.random.randrange(UNITS))
        self.members[id_] = member

    def _cut(self) -> None:
        """One side does not hear the other; half of the time neither does."""
        ids = sorted(self.members)
        side = set(self.random.sample(ids, self.random.randint(1, max(1, len(ids) // 2))))
        both = self.random.random() < 0.6
        self._note("partition" if both else "partition one way")
        for one in side:
            for other in set(ids) - side:
                self.cuts.add((one, other))
                if both:
                    self.cuts.add((other, one))

    def _change(self, leader: Member) -> None:
        """A step to other members: one more, one promoted, one less."""
        held = leader.raft.soft_state().configuration
        choice = self.random.random()
        if choice < 0.4 and held.learners:
            learner = self.random.choice(sorted(held.learners))
            new = Configuration(held.voters | {learner}, held.learners - {learner})
        elif choice < 0.7 and len(held.members) < self.size + 2:
            outside = sorted(set(self.members) - held.members)
            if outside and self.random.random() < 0.5:
                added = self.random.choice(outside)  # it was a member before
            else:
                added = max(self.members) + 1
                if added <= 3 * self.size:
                    self._start(added, Disk())
            new = Configuration(held.voters, held.learners | {added})
        elif len(held.voters) > 2:
            removed = self.random.choice(sorted(held.members))
            new = Configuration(held.voters - {removed}, held.learners - {removed})
        else:
            return
        if new.members <= set(self.members):
            self._ask(leader, lambda raft: raft.change(new), "change of members")

    def _ask(self, member: Member, what: Callable[[Raft], object], name: str) -> None:
        try:
            what(member.raft)
        except Refused as refusal:
            self._note(f"{name}: {type(refusal).__name__}")
            return
        self._note(name)
        self._handle(member)

    def _paused(self, member: Member) -> bool:
        return self.now < member.paused_until

    def _leader(self) -> Member | None:
        able = [m for m in self.members.values() if m.running and not self._paused(m)]
        leaders = [m for m in able if m.raft.soft_state().role == "leader"]
        return max(leaders, key=lambda m: m.raft.soft_state().term, default=None)

    def _note(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1
