"""A few members in one process, with a network that a test can cut and look into: for rules that need few steps."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from labsupport.quorum.raft.core import Raft
from labsupport.quorum.raft.messages import Message
from labsupport.quorum.raft.records import Configuration, Entry, Read, Saved, bootstrap
from labsupport.quorum.raft.storage import Storage
from tests.quorum.raft.disk import Disk


class Cluster:
    """Members 1 to `size`, the first configuration's voters; `blocked` says which messages are lost."""

    def __init__(self, size: int) -> None:
        self.disks: dict[int, Disk] = {}
        self.rafts: dict[int, Raft] = {}
        self.storages: dict[int, Storage] = {}
        self.applied: dict[int, list[Entry]] = {}
        self.reads: dict[int, list[Read]] = {}
        self.lost_reads: dict[int, list[int]] = {}
        self.restored: dict[int, list[bytes]] = {}
        self.sent: list[tuple[int, int, Message]] = []
        self.blocked: Callable[[int, int, Message], bool] = lambda _from, _to, _message: False
        self._restarts = 0
        ids = range(1, size + 1)
        for id_ in ids:
            self.add(id_, bootstrap(Configuration(frozenset(ids))))

    def add(self, id_: int, saved: Saved) -> None:
        """A member that begins with `saved`."""
        self.disks[id_] = Disk()
        if saved.snapshot:
            Storage(self.disks[id_]).replace(saved)
        self.applied[id_], self.reads[id_], self.lost_reads[id_], self.restored[id_] = [], [], [], []
        self.restart(id_)

    def restart(self, id_: int) -> None:
        """Begin again with what is on the disk; the state machine is empty."""
        self._restarts += 1
        self.storages[id_] = Storage(self.disks[id_])
        self.rafts[id_] = Raft(id_, self.storages[id_].saved, Random(1000 * id_ + self._restarts))
        self.applied[id_].clear()

    def handle(self, id_: int) -> bool:
        """Do what one member has ready; its messages arrive at once."""
        raft = self.rafts[id_]
        ready = raft.ready()
        if not ready:
            return False
        self.storages[id_].save(ready)
        if ready.restore:
            self.restored[id_].append(ready.restore.data)
        self.applied[id_] += ready.committed
        self.reads[id_] += ready.reads
        self.lost_reads[id_] += ready.reads_lost
        raft.advance()
        for to, message in ready.messages_after_save:
            self.sent.append((id_, to, message))
            if to in self.rafts and not self.blocked(id_, to, message):
                self.rafts[to].step(id_, message)
        return True

    def run(self) -> None:
        """Until nobody has anything to do."""
        while sum(self.handle(id_) for id_ in list(self.rafts)):
            pass

    def tick(self, times: int = 1, *, only: int | None = None) -> None:
        """Let ticks pass, everything that follows done in between."""
        for _ in range(times):
            for id_, raft in list(self.rafts.items()):
                if only in (None, id_):
                    raft.tick()
            self.run()

    def elect(self, id_: int) -> Raft:
        """Make this one the leader; the others have to have lost theirs, or `id_` leads already."""
        for _ in range(10):
            if self.rafts[id_].soft_state().role == "leader":
                return self.rafts[id_]
            self.tick(10)
            self.rafts[id_].campaign()
            self.run()
        raise AssertionError(f"{id_} was not elected: {self.rafts[id_].soft_state()}")

    def first(self, id_: int = 1) -> Raft:
        """Elect before anybody else's timeout ends: nobody hears a leader yet."""
        self.rafts[id_].campaign()
        self.run()
        assert self.rafts[id_].soft_state().role == "leader"
        return self.rafts[id_]

    def isolate(self, *ids: int) -> None:
        """Nothing comes from or to these (among themselves it does)."""
        self.blocked = lambda from_, to, _message: (from_ in ids) != (to in ids)

    def heal(self) -> None:
        """Nothing is lost any more."""
        self.blocked = lambda _from, _to, _message: False

    def commands(self, id_: int) -> list[bytes]:
        """What a member has applied."""
        return [entry.data for entry in self.applied[id_] if entry.kind == "command"]


def grown(cluster: Cluster) -> None:
    """Add member 4 as a learner, and wait until it has everything."""
    cluster.add(4, Saved())
    cluster.rafts[1].change(Configuration(frozenset({1, 2, 3}), frozenset({4})))
    cluster.tick(10)
