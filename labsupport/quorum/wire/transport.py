"""Members' connections: one to each peer for what we send, one from each peer for what it sends.

Nothing here waits for a peer: what is sent goes into a queue of its own for each, and when that is full the oldest
one-way message is dropped (consensus sends again what is still true). A call is answered, or fails when its time is up
or the peer is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labsupport.quorum.wire import frames, handshake, tls
from labsupport.quorum.wire.envelope import Codec, Failure
from labsupport.quorum.wire.handshake import Hello, Refusal

log = logging.getLogger(__name__)

QUEUE = 256  # messages to one peer
HANDSHAKE = 5.0  # seconds for TLS and the two greetings
UNACKNOWLEDGED = 3000  # milliseconds (TCP_USER_TIMEOUT, RFC 5482): then a peer that vanished is one
FIRST_RETRY, LAST_RETRY = 0.05, 1.0  # seconds between attempts to connect


class Unreachable(Exception):
    """A call had no answer: the peer is not connected, went away, or took too long."""


class Declined(Exception):
    """The peer answered a call with a reason why it does not serve it."""


@dataclass(frozen=True)
class Peer:
    """Another member, and where it listens."""

    member: int  # Raft id
    name: str  # of its Pod
    host: str
    port: int


@dataclass(frozen=True)
class Connection:
    """What is known of a peer, for status: `problem` says why it is not connected."""

    connected: bool = False
    release: str = ""
    protocols: tuple[int, int] = (0, 0)
    agreed: int = 0
    problem: str = "not yet connected"


OnMessage = Callable[[int, Any], None]
OnCall = Callable[[int, Any], Awaitable[Any]]
# A test's hand on the wire: seconds that a message to a member is delayed, or None to lose it.
Faults = Callable[[int, Any], float | None]


@dataclass
class _Line:
    """Our side of the connection to one peer."""

    peer: Peer
    queue: deque[tuple[Any, int, int]] = field(default_factory=lambda: deque(maxlen=QUEUE))
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    state: Connection = field(default_factory=Connection)
    task: asyncio.Task[None] | None = None


class Transport:
    """Sends to and receives from the peers of one member.

    `on_message` gets one-way messages, `on_call` calls, each with the sender's Raft id; what `on_call` returns is the
    answer, and a Declined that it raises is told to the caller.
    """

    def __init__(
        self,
        hello: Hello,
        codec: Codec,
        files: tls.Files,
        scope: tuple[str, str],
        on_message: OnMessage,
        on_call: OnCall,
    ) -> None:
        self.hello = hello
        self.heard: dict[int, Hello] = {}  # whoever has a connection to us open, as it last said
        self.faults: Faults | None = None
        self._codec = codec
        self._files = files
        self._scope = scope  # namespace and name of the Quorum
        self._on_message = on_message
        self._on_call = on_call
        self._lines: dict[int, _Line] = {}
        self._calls: dict[int, tuple[int, asyncio.Future[Any]]] = {}
        self._numbers = itertools.count(1)
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[Any]] = set()
        self._server_context = tls.server(files, clients_certified=True)
        self._client_context = tls.client(files)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port that was taken (`port` 0: any free one)."""

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._spawn(
                self._accept(reader, writer)
            )  # a task of ours: the stream's own would log that it was ended

        self._server = await asyncio.start_server(
            accept, host, port, ssl=self._server_context, ssl_handshake_timeout=HANDSHAKE
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything; calls under way fail."""
        self.set_peers({})
        if self._server is not None:
            self._server.close()
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def renew(self) -> None:
        """Use the key and certificate that are in the files now; open connections go on with theirs."""
        tls.load(self._server_context, self._files)
        tls.load(self._client_context, self._files)

    def set_peers(self, peers: Mapping[int, Peer]) -> None:
        """Keep connections to these peers, and to no others."""
        for member in [member for member, line in self._lines.items() if peers.get(member) != line.peer]:
            line = self._lines.pop(member)
            if line.task is not None:
                line.task.cancel()
            self._fail_calls(member, "is no peer any more")
        for member, peer in peers.items():
            if member not in self._lines and member != self.hello.member:
                line = self._lines[member] = _Line(peer)
                line.task = self._spawn(self._keep(line))

    def connections(self) -> dict[int, Connection]:
        """What is known of each peer now."""
        return {member: line.state for member, line in self._lines.items()}

    def send(self, member: int, message: Any) -> None:
        """Send one-way, if the peer is known; it may be lost."""
        self._queue(member, message)

    async def call(self, member: int, message: Any, timeout: float) -> Any:
        """The peer's answer within `timeout` seconds. Raises Unreachable, or Declined with the peer's reason."""
        line = self._lines.get(member)
        if line is None or not line.state.connected:
            raise Unreachable(line.state.problem if line else f"member {member:x} is no peer")
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[number] = member, answer
        try:
            self._queue(member, message, call=number)
            async with asyncio.timeout(timeout):
                result = await answer
        except TimeoutError:
            raise Unreachable(f"{line.peer.name} did not answer within {timeout:g} s") from None
        finally:
            del self._calls[number]
        if isinstance(result, Failure):
            raise Declined(result.reason)
        return result

    def _queue(self, member: int, message: Any, *, call: int = 0, answers: int = 0) -> None:
        line = self._lines.get(member)
        if line is None:
            return
        delay = self.faults(member, message) if self.faults else 0.0
        if delay is None:
            return
        if delay:
            asyncio.get_running_loop().call_later(delay, self._append, line, (message, call, answers))
        else:
            self._append(line, (message, call, answers))

    @staticmethod
    def _append(line: _Line, item: tuple[Any, int, int]) -> None:
        line.queue.append(item)
        line.filled.set()

    async def _keep(self, line: _Line) -> None:
        """Connect, send what is queued, connect again; for as long as the peer is one."""
        pause = FIRST_RETRY
        while True:
            try:
                async with asyncio.timeout(HANDSHAKE):
                    reader, writer = await asyncio.open_connection(
                        line.peer.host,
                        line.peer.port,
                        ssl=self._client_context,
                        server_hostname=line.peer.name,
                    )
                pause = FIRST_RETRY
                try:
                    await self._speak(line, reader, writer)
                finally:
                    writer.close()
            except (OSError, ssl.SSLError, TimeoutError, asyncio.IncompleteReadError) as error:
                self._lost(line, str(error) or type(error).__name__)
            except (Refusal, frames.BrokenFrame) as error:
                self._lost(line, str(error))
                pause = LAST_RETRY
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY)

    async def _speak(self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
        theirs, protocol = await self._greet(reader, writer, expected=line.peer.member)
        line.state = Connection(True, theirs.release, (theirs.oldest, theirs.newest), protocol, "")
        line.queue.clear()  # what was meant for the connection before is old by now
        ended = asyncio.ensure_future(self._goodbye(reader))  # nothing comes on this one but its end
        filled = asyncio.ensure_future(line.filled.wait())
        try:
            while not ended.done():
                await asyncio.wait({filled, ended}, return_when=asyncio.FIRST_COMPLETED)
                line.filled.clear()
                while line.queue and not ended.done():
                    message, call, answers = line.queue.popleft()
                    payload = self._codec.encode(message, call=call, answers=answers)
                    writer.write(frames.pack(payload, protocol))
                    await writer.drain()
                if filled.done():
                    filled = asyncio.ensure_future(line.filled.wait())
            await ended
        finally:
            filled.cancel()
            ended.cancel()
            await asyncio.wait({filled, ended})

    @staticmethod
    async def _goodbye(reader: asyncio.StreamReader) -> None:
        """Wait for the end of a connection that we send on. Raises what ended it."""
        try:
            handshake.decode(await frames.read(reader, handshake.HELLO_PROTOCOL))
        except asyncio.IncompleteReadError:
            raise ConnectionResetError("the peer closed the connection") from None
        raise frames.BrokenFrame("the peer said hello twice")

    def _lost(self, line: _Line, problem: str) -> None:
        line.state = replace(line.state, connected=False, problem=f"{line.peer.name}: {problem}")
        self._fail_calls(line.peer.member, problem)

    def _fail_calls(self, member: int, problem: str) -> None:
        for of, answer in self._calls.values():
            if of == member and not answer.done():
                answer.set_exception(Unreachable(problem))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said: Hello | None = None
        try:
            theirs, protocol = await self._greet(reader, writer)
            said, self.heard[theirs.member] = theirs, theirs
            while True:
                self._receive(theirs.member, await frames.read(reader, protocol))
        except asyncio.IncompleteReadError:
            pass
        except (Refusal, frames.BrokenFrame, OSError, TimeoutError) as error:
            log.warning("a connection from %s ends: %s", writer.get_extra_info("peername"), error)
        finally:
            if said is not None and self.heard.get(said.member) is said:  # else it has come again meanwhile
                del self.heard[said.member]
            writer.close()

    async def _greet(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, expected: int = 0
    ) -> tuple[Hello, int]:
        """Say and hear hello; the peer's, and the version agreed on."""
        try:
            async with asyncio.timeout(HANDSHAKE):
                writer.write(frames.pack(handshake.encode(self.hello), handshake.HELLO_PROTOCOL))
                certified = tls.peer_name(writer.get_extra_info("peercert"), *self._scope)
                if certified is None:
                    raise Refusal("the peer's certificate is not a member's of this Quorum")
                theirs = handshake.decode(await frames.read(reader, handshake.HELLO_PROTOCOL))
                if expected and theirs.member != expected:
                    raise Refusal(f"{theirs.name} is member {theirs.member:x} now, not {expected:x}")
                return theirs, handshake.agree(self.hello, theirs, certified)
        except Refusal as refusal:
            if refusal.ours:
                goodbye = handshake.encode(handshake.Goodbye(str(refusal)))
                writer.write(frames.pack(goodbye, handshake.HELLO_PROTOCOL))
                with contextlib.suppress(OSError):
                    await writer.drain()
            raise

    def _receive(self, member: int, payload: bytes) -> None:
        envelope, message = self._codec.decode(payload)
        if envelope.answers:
            of, answer = self._calls.get(envelope.answers, (0, None))
            if (
                answer is not None and of == member and not answer.done()
            ):  # else it came too late, or from another
                answer.set_result(message)
        elif envelope.call:
            self._spawn(self._serve(member, envelope.call, message))
        else:
            self._on_message(member, message)

    async def _serve(self, member: int, call: int, message: Any) -> None:
        try:
            answer = await self._on_call(member, message)
        except Declined as declined:
            answer = Failure(str(declined))
        except Exception as error:
            log.exception("a call of %s failed", type(message).__name__)
            answer = Failure(f"{type(error).__name__}: {error}")
        self._queue(member, answer, answers=call)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        return task
