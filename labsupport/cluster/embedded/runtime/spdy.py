"""The server's side of SPDY/3.1, as far as the kubelet uses it to carry exec, attach and port-forward.

No kept Python library speaks it. Source: SPDY protocol draft 3.1, chapters 2.2 (framing), 2.6.10 (name/value header
block, compressed with zlib and a dictionary) and 2.6.8 (flow control). Parsing and writing frames are pure
functions; `Connection` runs them over a socket, with one thread that reads.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from labsupport.cluster.embedded.runtime.spdy_dictionary import DICTIONARY

SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FLAG_FIN = 0x01
_VERSION = 3
_CONTROL = 0x80000000
_MAX_FRAME = 1 << 20  # far above what the kubelet sends; a claim of more is an error or an attack
_CHUNK = 1 << 15
_MAX_HEADERS = 1 << 16
_QUEUE = 256  # received frames of a stream that wait for their reader
_LINGER = 2.0  # seconds for the peer to hang up by itself: it may lose what it has not read when we do


class ProtocolError(Exception):
    """The peer does not speak SPDY/3.1."""


@dataclass(frozen=True)
class Frame:
    """A frame: for a data frame `kind` is 0 and `stream` its stream; control frames keep theirs in the payload."""

    kind: int
    stream: int
    flags: int
    payload: bytes


def parse_header(header: bytes) -> tuple[int, int, int, int]:
    """The eight bytes before a frame: (kind, stream, flags, length of the payload)."""
    first, second = struct.unpack("!II", header)
    flags, length = second >> 24, second & 0xFFFFFF
    if length > _MAX_FRAME:
        raise ProtocolError(f"frame of {length} bytes")
    if not first & _CONTROL:
        return 0, first, flags, length
    version = first >> 16 & 0x7FFF
    if version != _VERSION:
        raise ProtocolError(f"version {version}")
    return first & 0xFFFF, 0, flags, length


def data_frame(stream: int, data: bytes, *, last: bool = False) -> bytes:
    """A data frame; `last` closes our half of the stream."""
    return struct.pack("!II", stream, (FLAG_FIN if last else 0) << 24 | len(data)) + data


def control_frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
    """A control frame."""
    return struct.pack("!II", _CONTROL | _VERSION << 16 | kind, flags << 24 | len(payload)) + payload


def encode_headers(headers: dict[str, str]) -> bytes:
    """A name/value block before compression."""
    out = [struct.pack("!I", len(headers))]
    for text in (text for pair in headers.items() for text in pair):
        raw = text.encode()
        out.append(struct.pack("!I", len(raw)) + raw)
    return b"".join(out)


def decode_headers(block: bytes) -> dict[str, str]:
    """A name/value block after decompression, names in lower case; several values are separated by NUL."""
    position = 0

    def take(count: int) -> bytes:
        nonlocal position
        if position + count > len(block):
            raise ProtocolError("a header block ends too early")
        position += count
        return block[position - count : position]

    def text() -> str:
        (length,) = struct.unpack("!I", take(4))
        return take(length).decode(errors="replace")

    (count,) = struct.unpack("!I", take(4))
    headers = {}
    for _ in range(count):
        name = text().lower()
        headers[name] = text()
    return headers


class Stream:
    """One of a connection's streams. `read` gives b"" at its end."""

    def __init__(self, connection: Connection, number: int, headers: dict[str, str]) -> None:
        """Made by the connection when the peer opens the stream."""
        self.headers = headers
        self._connection, self._number = connection, number
        self._received: queue.Queue[bytes] = queue.Queue(_QUEUE)
        self._finished = self._abandoned = False

    def read(self) -> bytes:
        """Wait for data; b"" when the peer has closed its half."""
        return self._received.get()

    def feed(self, data: bytes) -> None:
        """Data from the peer (the connection's reading thread calls this). Waits while the reader is behind."""
        while not self._abandoned:
            try:
                self._received.put(data, timeout=0.5)
            except queue.Full:
                continue
            return

    def abandon(self) -> None:
        """Nobody will read any more: throw away what still comes."""
        self._abandoned = True

    def write(self, data: bytes) -> None:
        """Send data; raises OSError when the connection is gone."""
        for start in range(0, len(data), _CHUNK):
            self._connection.send(data_frame(self._number, data[start : start + _CHUNK]))

    def finish(self) -> None:
        """Close our half."""
        if not self._finished:
            self._finished = True
            self._connection.send(data_frame(self._number, b"", last=True))


class Connection:
    """A SPDY connection on an accepted and upgraded socket."""

    def __init__(self, connection: socket.socket, early: bytes, on_stream: Callable[[Stream], None]) -> None:
        """`early` is what was read past the HTTP header; `on_stream` is called for each stream that opens."""
        self._socket, self._early, self._on_stream = connection, bytearray(early), on_stream
        self._lock = threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._ended = threading.Event()

    def send(self, frame: bytes) -> None:
        """Send a whole frame."""
        with self._lock:
            self._socket.sendall(frame)

    def serve(self) -> None:
        """Read frames until the peer goes away; then every stream ends."""
        try:
            while self._handle(self._read_frame()):
                pass
        except (EOFError, OSError, zlib.error, ProtocolError, struct.error):
            pass  # whatever the peer did, this connection is over
        finally:
            self._ended.set()
            for stream in list(self._streams.values()):
                stream.feed(b"")

    def _read_frame(self) -> Frame:
        kind, stream, flags, length = parse_header(self._read(8))
        return Frame(kind, stream, flags, self._read(length))

    def _read(self, count: int) -> bytes:
        while len(self._early) < count:
            data = self._socket.recv(1 << 16)
            if not data:
                raise EOFError
            self._early += data
        result = bytes(self._early[:count])
        del self._early[:count]
        return result

    def _handle(self, frame: Frame) -> bool:
        if frame.kind == 0:
            self._take_data(frame)
        elif frame.kind == SYN_STREAM:
            self._open(frame)
        elif frame.kind == RST_STREAM:
            (number,) = struct.unpack_from("!I", frame.payload)
            if stream := self._streams.pop(number, None):
                stream.feed(b"")
        elif frame.kind == PING:
            self.send(control_frame(PING, frame.payload))
        # The kubelet's SPDY library neither sends nor obeys windows: WINDOW_UPDATE and SETTINGS mean nothing.
        return frame.kind != GOAWAY

    def _take_data(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None:
            return
        if frame.payload:
            stream.feed(frame.payload)
        if frame.flags & FLAG_FIN:
            stream.feed(b"")
            del self._streams[frame.stream]

    def _open(self, frame: Frame) -> None:
        (number,) = struct.unpack_from("!I", frame.payload)
        block = self._inflate.decompress(frame.payload[10:], _MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise ProtocolError("a header block that is too large")
        stream = Stream(self, number, decode_headers(block))
        self._streams[number] = stream
        with self._lock:  # the compressor's state must follow the order of the frames
            reply = self._deflate.compress(encode_headers({})) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            self._socket.sendall(control_frame(SYN_REPLY, struct.pack("!I", number) + reply))
        if frame.flags & FLAG_FIN:
            stream.feed(b"")
        self._on_stream(stream)

    def wait_end(self, timeout: float | None = None) -> bool:
        """Wait until the peer is gone; False after `timeout` seconds."""
        return self._ended.wait(timeout)

    def close(self) -> None:
        """Let the peer hang up, then do it for it."""
        for stream in list(self._streams.values()):
            stream.abandon()
        if not self._ended.wait(_LINGER):
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
