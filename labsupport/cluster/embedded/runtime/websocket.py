"""The channel.k8s.io protocols over WebSocket, for clients of exec and attach that do not speak SPDY.

The first byte of a message (a digit in the base64 protocols) is the channel: 0 stdin, 1 stdout, 2 stderr, 3 error,
4 resize. Source: k8s.io/apimachinery/pkg/util/remotecommand and k8s.io/streaming. The framing is wsproto's.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import queue
import socket
import threading
from collections.abc import Iterable

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Request,
    TextMessage,
)
from wsproto.utilities import ProtocolError

PROTOCOLS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io", "base64.channel.k8s.io", "channel.k8s.io")
CHANNELS = ("stdin", "stdout", "stderr", "error", "resize")
_CHUNK = 1 << 15
_QUEUE = 256
_LINGER = 2.0


def choose(offered: Iterable[str]) -> str:
    """The first protocol that both sides know; "" (plain channel.k8s.io) when there is none."""
    return next((name for name in offered if name in PROTOCOLS), "")


def encode(channel: int, data: bytes, *, text: bool) -> bytes | str:
    """One message for a channel; `text` for the base64 protocols."""
    return f"{channel}{base64.b64encode(data).decode()}" if text else bytes([channel]) + data


def decode(message: bytes | str) -> tuple[int, bytes]:
    """(channel, data) of one message; raises ValueError for anything else."""
    if not message:
        raise ValueError("an empty message")
    if isinstance(message, bytes):
        return message[0], message[1:]
    try:
        return int(message[0]), base64.b64decode(message[1:], validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from error


class Channel:
    """One of a connection's channels. `read` gives b"" when the peer is gone: there is no half-close here."""

    def __init__(self, connection: Connection, number: int) -> None:
        """Made by the connection."""
        self._connection, self._number = connection, number
        self._received: queue.Queue[bytes] = queue.Queue(_QUEUE)
        self._abandoned = False

    def read(self) -> bytes:
        """Wait for data."""
        return self._received.get()

    def feed(self, data: bytes) -> None:
        """Data from the peer; waits while the reader is behind."""
        while not self._abandoned:
            try:
                self._received.put(data, timeout=0.5)
            except queue.Full:
                continue
            return

    def abandon(self) -> None:
        """Nobody will read any more."""
        self._abandoned = True

    def write(self, data: bytes) -> None:
        """Send data; raises OSError when the connection is gone."""
        for start in range(0, len(data), _CHUNK):
            self._connection.send_channel(self._number, data[start : start + _CHUNK])

    def finish(self) -> None:
        """Nothing to do: only the whole connection can be closed."""


class Connection:
    """A WebSocket connection on an accepted socket. `start` is all that was read so far, HTTP header included."""

    def __init__(self, connection: socket.socket, start: bytes) -> None:
        """Answer the handshake; raises ProtocolError if there is none."""
        self._socket = connection
        self._protocol = WSConnection(ConnectionType.SERVER)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self.channels = {name: Channel(self, number) for number, name in enumerate(CHANNELS)}
        self._protocol.receive_data(start)
        request = next(self._protocol.events())
        if not isinstance(request, Request):
            raise ProtocolError("no WebSocket handshake")
        self.protocol = choose(request.subprotocols)
        self._send(AcceptConnection(subprotocol=self.protocol or None))

    @property
    def status_as_json(self) -> bool:
        """Whether the error channel carries a Status object (version 4) rather than a sentence."""
        return self.protocol.startswith("v4")

    def _send(self, event: Event) -> None:
        with self._lock:
            self._socket.sendall(self._protocol.send(event))

    def send_channel(self, number: int, data: bytes) -> None:
        """Send one message."""
        content = encode(number, data, text="base64" in self.protocol)
        if isinstance(content, str):
            self._send(TextMessage(data=content))
        else:
            self._send(BytesMessage(data=content))

    def serve(self) -> None:
        """Read messages until the peer goes away; then every channel ends."""
        parts: list[bytes | str] = []
        try:
            while True:
                for event in self._protocol.events():
                    if isinstance(event, CloseConnection):
                        self._send(event.response())
                        return
                    if isinstance(event, Ping):
                        self._send(event.response())
                    elif isinstance(event, BytesMessage | TextMessage):
                        parts.append(bytes(event.data) if isinstance(event, BytesMessage) else event.data)
                        if event.message_finished:
                            self._take(parts)
                            parts = []
                data = self._socket.recv(1 << 16)
                if not data:
                    return
                self._protocol.receive_data(data)
        except (OSError, ProtocolError, ValueError):
            return  # whatever the peer did, this connection is over
        finally:
            self._ended.set()
            for channel in self.channels.values():
                channel.feed(b"")

    def _take(self, parts: list[bytes | str]) -> None:
        whole: bytes | str
        if isinstance(parts[0], bytes):
            whole = b"".join(part for part in parts if isinstance(part, bytes))
        else:
            whole = "".join(part for part in parts if isinstance(part, str))
        number, data = decode(whole)
        if data and number < len(CHANNELS):
            self.channels[CHANNELS[number]].feed(data)

    def wait_end(self, timeout: float | None = None) -> bool:
        """Wait until the peer is gone; False after `timeout` seconds."""
        return self._ended.wait(timeout)

    def close(self) -> None:
        """Close in the orderly way, then for good."""
        for channel in self.channels.values():
            channel.abandon()
        with contextlib.suppress(OSError, ProtocolError):
            self._send(CloseConnection(code=1000))
        if not self._ended.wait(_LINGER):
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
