"""One member: its volume, its place in Raft, its part in the key, and what it says to the others.

A member starts with an empty volume and waits: for the list of the first members, or for the leader of a Quorum that
takes it in. From then on all that it does follows from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import SystemRandom
from typing import Any, Literal, get_args

import msgspec

from labsupport.quorum import commands, signing
from labsupport.quorum.ceremony import Begin, Participant, begin
from labsupport.quorum.configuration import Config
from labsupport.quorum.consensus import Consensus, Unknown
from labsupport.quorum.disk import Volume
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.leading import ANSWER, Digest, Duties
from labsupport.quorum.raft import messages as raft_messages
from labsupport.quorum.raft.core import Raft
from labsupport.quorum.raft.files import DirectoryFiles
from labsupport.quorum.raft.records import Configuration, NotLeader, Refused, Saved, bootstrap
from labsupport.quorum.raft.storage import Storage
from labsupport.quorum.releases import Release
from labsupport.quorum.state import MemberRecord, State
from labsupport.quorum.store import Store
from labsupport.quorum.wire import tls
from labsupport.quorum.wire.envelope import Codec
from labsupport.quorum.wire.handshake import Hello
from labsupport.quorum.wire.transport import Declined, Peer, Transport, Unreachable

log = logging.getLogger(__name__)

OFTEN = 0.1  # seconds between looks at what is due without anything having happened
LAG = 100  # entries that a ready member may be behind

Phase = Literal["waiting", "member", "removed", "stopped"]


class Forward(msgspec.Struct, frozen=True):
    """A command for the leader, of a member that takes part in a ceremony."""

    command: bytes


class Forwarded(msgspec.Struct, frozen=True):
    """What applying it answered."""

    result: bytes


KINDS: dict[str, type] = {
    **{str(kind.__struct_config__.tag): kind for kind in get_args(raft_messages.Message)},
    "forward": Forward,
    "forwarded": Forwarded,
    "digest": Digest,
    "commit": signing.Commit,
    "committed": signing.Committed,
    "sign": signing.SignShare,
    "signed": signing.SignedShare,
}


@dataclass(frozen=True)
class Founder:
    """One of the first members: Raft id, Pod, identity (verifying and sealing key)."""

    id: int
    name: str
    identity: bytes


class Member:
    """A running member; `start` it in an event loop."""

    def __init__(
        self,
        config: Config,
        pod: str,
        volume: Volume,
        files: tls.Files,
        release: Release,
        *,
        begin: Begin = begin,
        signer: signing.Signer | None = None,
    ) -> None:
        self.config, self.pod, self.volume, self.release = config, pod, volume, release
        self.files = files
        self.consensus: Consensus | None = None
        self.problems: dict[str, str] = {}
        hello = Hello(config.cluster, volume.id, pod, release.name, release.oldest, release.newest)
        scope = config.namespace, config.name
        self.transport = Transport(hello, Codec(KINDS), files, scope, self._on_message, self._on_call)
        self._storage = Storage(DirectoryFiles(volume.raft))
        self._participant = Participant(volume, self._say, begin)
        self._signer = signer or signing.Signer()
        self._due = asyncio.Event()  # until `_follow` has looked
        # A new one after each change: whoever waits for the next one waits for this.
        self._moment = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._duties = Duties()
        self._was_member = False

    @property
    def identity(self) -> bytes:
        """The public side of this member's identity."""
        public = Identity(1, self.volume.seed).member
        return public.verifying_key + public.sealing_key.encode()

    @property
    def state(self) -> State:
        """What this member has applied; an empty state while it waits."""
        return self.consensus.store.state if self.consensus else State()

    @property
    def phase(self) -> Phase:
        """Where this member stands."""
        if self.consensus is None:
            return "waiting"
        if self.consensus.failure is not None:
            return "stopped"
        if self.volume.id in self.consensus.configuration.members:
            return "member"
        return "removed" if self._was_member else "waiting"

    async def start(self) -> int:
        """Listen to peers, and go on with what is on the volume; the port."""
        host, port = self.config.listen, self.config.peer_port
        taken = await self.transport.start(host, self.config.addresses.get(self.pod, (host, port))[1])
        if self._storage.saved != Saved():
            self._begin(self._storage.saved)
        self._tasks = [asyncio.ensure_future(self._follow())]
        return taken

    async def stop(self) -> None:
        """End everything; what was promised is on disk."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.consensus is not None:
            await self.consensus.stop()
        await self.transport.stop()
        self._storage.close()

    async def found(self, founders: tuple[Founder, ...]) -> None:
        """Begin a Quorum with these members. Again with the same ones: nothing. Raises Refused for others."""
        known = {record.name: (member, record.identity) for member, record in self.state.members.items()}
        wanted = {each.name: (each.id, each.identity) for each in founders}
        if known == wanted:
            return
        if self.consensus is not None:
            raise Refused(f"this member is in a Quorum of {', '.join(sorted(known)) or 'others'} already")
        if wanted.get(self.pod) != (self.volume.id, self.identity):
            raise Refused(f"the list has not {self.pod} with the id and identity of this volume")
        first = Store()
        for number, each in enumerate(sorted(founders, key=lambda each: each.name), 1):
            first.state.members[each.id] = MemberRecord(each.name, each.identity, number)
        first.state.numbers = len(founders)
        first.state.index = 1
        first.state.protocol = 1
        configuration = Configuration(frozenset(each.id for each in founders))
        saved = bootstrap(configuration, first.snapshot())
        await asyncio.to_thread(self._storage.replace, saved)
        self._begin(saved)

    def require(self) -> Consensus:
        """Raises NotLeader while this member waits, or has stopped."""
        if self.consensus is None or self.consensus.failure is not None:
            raise NotLeader(None)
        return self.consensus

    def name_of(self, member: int | None) -> str | None:
        """The Pod of a member, where it is known."""
        record = self.state.members.get(member or 0)
        return record.name if record else None

    async def call(self, member: int, message: Any, timeout: float) -> Any:
        """A peer's answer to a call, or our own. Raises Unreachable, Declined."""
        if member == self.volume.id:
            return await self._on_call(member, message)
        return await self.transport.call(member, message, timeout)

    def reaches(self, member: int) -> bool:
        """Whether messages to a member can be sent now."""
        connection = self.transport.connections().get(member)
        return member == self.volume.id or bool(connection and connection.connected)

    async def change(self, at_most: float) -> None:
        """Wait until something is applied or somebody elected, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most):
                await self._moment.wait()

    def _changed(self) -> None:
        self._due.set()
        self._moment.set()
        self._moment = asyncio.Event()

    def _begin(self, saved: Saved) -> None:
        store = Store(saved.snapshot.data) if saved.snapshot else Store()
        raft = Raft(self.volume.id, saved, SystemRandom())
        self.consensus = Consensus(
            raft, self._storage, store, self.config.tick, self.transport.send, self._changed
        )
        self.consensus.start()
        self._changed()

    def _on_message(self, sender: int, message: Any) -> None:
        if isinstance(message, Digest):
            self._compare(sender, message)
            return
        if self.consensus is None:
            if isinstance(message, raft_messages.VoteReply | raft_messages.TimeoutNow):
                return
            self._begin(Saved())  # taken in by a Quorum that knows this member
        if sender not in self.transport.connections():
            self._set_peers()
        if self.consensus is not None and self.consensus.failure is None:
            self.consensus.step(sender, message)

    async def _on_call(self, sender: int, message: Any) -> Any:
        match message:
            case Forward():
                return await self._forwarded(sender, message)
            case signing.Commit():
                await self._applied(message.index)
                return self._signer.commit(message, self.state, self._participant.key(self.state))
            case signing.SignShare():
                identity = Identity(self._number() or 1, self.volume.seed)
                return self._signer.sign(message, self.state, self._participant.key(self.state), identity)
        raise Declined(f"a {type(message).__name__} is no call")

    async def _forwarded(self, sender: int, message: Forward) -> Forwarded:
        command = commands.COMMANDS.decode(message.command)
        record = self.state.members.get(sender)
        if not isinstance(command, commands.Broadcast | commands.Report):
            raise Declined("only what belongs to a ceremony is passed on")
        if record is None or record.number != command.number:
            raise Declined(f"that is not the number of {record.name if record else 'a member'}")
        try:
            result = await self.require().propose_bytes(message.command, ANSWER)
        except (Refused, Unknown) as error:
            raise Declined(str(error)) from error
        return Forwarded(commands.encode(result))

    async def _applied(self, index: int) -> None:
        """Wait until this member has applied the entry at `index`. Raises Declined if it takes too long."""
        deadline = time.monotonic() + ANSWER / 2
        while self.state.index < index:
            if time.monotonic() > deadline:
                raise Declined(f"this member is at {self.state.index}, not yet at {index}")
            await self.change(OFTEN)

    async def _say(self, command: commands.Broadcast | commands.Report) -> None:
        """Into the log, here or by the leader. Raises Refused, Unknown, Unreachable, Declined."""
        consensus = self.require()
        leader = consensus.raft.soft_state().leader
        if leader == self.volume.id:
            await consensus.propose(command, ANSWER)
        elif leader is None:
            raise NotLeader(None)
        else:
            await self.transport.call(leader, Forward(commands.encode(command)), ANSWER)

    def _number(self) -> int | None:
        record = self.state.members.get(self.volume.id)
        return record.number if record else None

    def _compare(self, sender: int, told: Digest) -> None:
        consensus = self.consensus
        if consensus is None or consensus.raft.soft_state().leader != sender:
            return  # from anybody else it says nothing
        mine = consensus.digests.get(told.index)
        if mine is not None and mine != told.digest:
            self._stop(
                f"the state at entry {told.index} differs from the leader's: replace this member's volume"
            )

    def _stop(self, why: str) -> None:
        if self.consensus is not None and self.consensus.failure is None:
            self._tasks.append(asyncio.ensure_future(self.consensus.fail(ValueError(why))))

    def _unspoken(self) -> str:
        mine, theirs = self.release, self.state.protocol
        return (
            f"the Quorum's protocol is {theirs}, release {mine.name} speaks {mine.oldest} to {mine.newest}: "
            "start this member with a release that speaks it"
        )

    def _set_peers(self) -> None:
        names = {member: record.name for member, record in self.state.members.items()}
        names |= {member: hello.name for member, hello in self.transport.heard.items() if member not in names}
        peers = {member: Peer(member, name, *self.config.peer(name)) for member, name in names.items()}
        self.transport.set_peers(peers)

    async def _follow(self) -> None:
        """Do what the state asks for, whenever it has changed, and every so often."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OFTEN):
                    await self._due.wait()
            self._due.clear()
            if self.consensus is None or self.consensus.failure is not None:
                continue
            self._was_member = self._was_member or self.volume.id in self.consensus.configuration.members
            self._set_peers()
            if self.state.protocol > self.release.newest:
                self._stop(self._unspoken())
                continue
            await self._try("ceremony", lambda: self._participant.follow(self.state, self._number()))
            if self.consensus.leads:
                await self._try("leading", lambda: self._duties.do(self))

    async def _try(self, what: str, work: Callable[[], Any]) -> None:
        """What does not work now is tried again; what is wrong for longer is told in the status."""
        try:
            await work()
            self.problems.pop(what, None)
        except (Refused, Unknown, Unreachable, Declined):
            pass
        except Exception as error:
            if self.problems.get(what) != str(error):
                log.exception("%s", what)
            self.problems[what] = f"{what}: {error}"


def founders(listed: list[Mapping[str, Any]]) -> tuple[Founder, ...]:
    """The first members, from JSON. Raises ValueError where one is not right."""
    found = tuple(
        Founder(int(str(each["id"]), 16), str(each["name"]), bytes.fromhex(str(each["identity"])))
        for each in listed
    )
    if len({each.id for each in found}) != len(found) or len({each.name for each in found}) != len(found):
        raise ValueError("ids and names must differ")
    return found
