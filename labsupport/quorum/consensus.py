"""The loop around Raft: what it asks for is saved, sent and applied here, and whoever proposed or reads is answered.

One task does all of it in order; the disk is waited for in a thread, so that requests are served meanwhile.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from labsupport.quorum import commands
from labsupport.quorum.commands import Command, Result
from labsupport.quorum.raft.core import Raft
from labsupport.quorum.raft.records import Configuration, Entry, NotLeader, Ready
from labsupport.quorum.raft.storage import DiskFull, Storage
from labsupport.quorum.store import Store

log = logging.getLogger(__name__)

COMPACT_AFTER = 2_000  # entries since the last snapshot
KEEP = 500  # entries behind a snapshot, so that a member that was away briefly needs no whole state
DIGESTS = 4_096  # entries of which the state's digest is remembered, to compare with the leader's


class Unknown(Exception):
    """Whether the command was done is not known: ask again with the same session, and it is done once."""


class Consensus:
    """One member's log and state. `send` is told what goes to whom, `changed` that something was applied or elected."""

    def __init__(
        self,
        raft: Raft,
        disk: Storage,
        store: Store,
        tick: float,
        send: Callable[[int, Any], None],
        changed: Callable[[], None],
    ) -> None:
        self.raft = raft
        self.store = store
        self.disk_full = False
        self.failure: BaseException | None = None  # why this member applies nothing any more
        self.digests: OrderedDict[int, bytes] = OrderedDict()
        self._disk = disk
        self._tick = tick
        self._send = send
        self._changed = changed
        self._wake = asyncio.Event()
        self._contexts = itertools.count(1)
        self._proposed: dict[int, tuple[int, asyncio.Future[Result]]] = {}  # by index: term, who waits
        self._reads: dict[int, asyncio.Future[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to tick and to work, in the running event loop."""
        self._tasks = [asyncio.ensure_future(each) for each in (self._time(), self._work())]
        self._wake.set()

    async def stop(self) -> None:
        """End both; whoever waits is told that nothing is known."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_all()

    def step(self, sender: int, message: Any) -> None:
        """Take a peer's message."""
        self.raft.step(sender, message)
        self._wake.set()

    @property
    def configuration(self) -> Configuration:
        """Who votes now."""
        return self.raft.soft_state().configuration

    @property
    def leads(self) -> bool:
        """Whether this member is the leader, as far as it knows."""
        return self.raft.soft_state().role == "leader"

    async def fail(self, error: Exception) -> None:
        """Apply and answer nothing any more, because of this."""
        if self.failure is None:
            log.error("this member stops: %s", error)
            self.failure = error
            await self.stop()
            self._changed()

    async def propose(self, command: Command, timeout: float) -> Result:
        """Have the command done; its result. Raises NotLeader, Refused (too busy), Unknown."""
        return await self.propose_bytes(commands.encode(command), timeout)

    async def propose_bytes(self, data: bytes, timeout: float) -> Result:
        """The same for a command that is encoded already."""
        if self.disk_full:
            raise NotLeader(None)
        index = self.raft.propose(data)
        waits: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._proposed[index] = self.raft.soft_state().term, waits
        self._wake.set()
        try:
            async with asyncio.timeout(timeout):
                return await waits
        except TimeoutError:
            raise Unknown(f"no majority has confirmed it within {timeout:g} s") from None
        finally:
            if self._proposed.get(index, (0, None))[1] is waits:
                del self._proposed[index]

    async def read(self, timeout: float) -> Store:
        """The store, not older than the moment of the call. Raises NotLeader, Unknown."""
        context = next(self._contexts)
        waits = self._reads[context] = asyncio.get_running_loop().create_future()
        try:
            self.raft.read(context)
            self._wake.set()
            async with asyncio.timeout(timeout):
                await waits
        except TimeoutError:
            raise Unknown(f"no majority has confirmed the leader within {timeout:g} s") from None
        finally:
            self._reads.pop(context, None)
        return self.store

    async def change(self, configuration: Configuration) -> None:
        """Begin a change of members by one. Raises NotLeader, Refused; that it is done is seen in `configuration`."""
        self.raft.change(configuration)
        self._wake.set()

    def transfer(self, to: int) -> None:
        """Begin to hand leadership over."""
        self.raft.transfer(to)
        self._wake.set()

    async def _time(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # After a pause no ticks are made up for: nobody was silent then.
            due = max(due + self._tick, loop.time())
            await asyncio.sleep(due - loop.time())
            self.raft.tick()
            self._wake.set()

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while ready := self.raft.ready():
                    if not await self._save(ready):
                        break
                    for to, message in ready.messages_after_save:
                        self._send(to, message)
                    self._take(ready)
                    self.raft.advance()
                    self._compact()
            except Exception as error:
                log.exception("this member stops: what it would apply further could differ from the others")
                self.failure = error
                self._fail_all()
                self._changed()
                return
            self._changed()

    async def _save(self, ready: Ready) -> bool:
        if not ready.must_save:
            return True
        try:
            await asyncio.to_thread(self._disk.save, ready)
        except DiskFull as error:
            if not self.disk_full:
                log.error("%s", error)
            self.disk_full = True
            self.raft.save_failed()
            self._fail_all()
            return False
        self.disk_full = False
        return True

    def _take(self, ready: Ready) -> None:
        if ready.restore is not None:
            self.store = Store(ready.restore.data)
            self.digests.clear()
        for entry in ready.committed:
            self._apply(entry)
        for read in ready.reads:
            self._settle(self._reads.get(read.context), None)
        for context in ready.reads_lost:
            self._reject(self._reads.get(context), NotLeader(ready.soft_state.leader))

    def _apply(self, entry: Entry) -> None:
        result: Result | None = None
        if entry.kind == "command":
            result = self.store.apply(entry.index, entry.data)
        else:
            self.store.pass_over(entry.index)
        self.digests[entry.index] = self.store.state.digest
        if len(self.digests) > DIGESTS:
            self.digests.popitem(last=False)
        term, waits = self._proposed.pop(entry.index, (0, None))
        if waits is None:
            return
        if term == entry.term and result is not None:
            self._settle(waits, result)
        else:
            self._reject(waits, NotLeader(self.raft.soft_state().leader))

    def _compact(self) -> None:
        applied = self.store.state.index
        if applied - self.raft.snapshot_index >= COMPACT_AFTER:
            self.raft.compact(applied, self.store.snapshot(), keep=KEEP)

    def _fail_all(self) -> None:
        for _, waits in self._proposed.values():
            self._reject(waits, Unknown("this member cannot tell whether it was done"))
        for read in self._reads.values():
            self._reject(read, Unknown("this member cannot read now"))

    @staticmethod
    def _settle(waits: asyncio.Future[Any] | None, result: Any) -> None:
        if waits is not None and not waits.done():
            waits.set_result(result)

    @staticmethod
    def _reject(waits: asyncio.Future[Any] | None, error: Exception) -> None:
        if waits is not None and not waits.done():
            waits.set_exception(error)
