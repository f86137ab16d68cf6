from __future__ import annotations

import queue
import socket
import struct
import threading
import zlib

import pytest

from labsupport.cluster.embedded.runtime import spdy
from labsupport.cluster.embedded.runtime.spdy_dictionary import DICTIONARY

# A SYN_STREAM written by hand from the draft: version 3, type 1, no flags, stream 1, headers streamtype=stdin.
BLOCK = b"\0\0\0\1" + b"\0\0\0\x0astreamtype" + b"\0\0\0\5stdin"


def compressed(block: bytes) -> bytes:
    packer = zlib.compressobj(zdict=DICTIONARY)
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)


def syn_stream(number: int, block: bytes, flags: int = 0) -> bytes:
    payload = struct.pack("!IIBB", number, 0, 0, 0) + block
    return struct.pack("!HHI", 0x8003, 1, flags << 24 | len(payload)) + payload


def test_dictionary_is_that_of_the_draft() -> None:
    assert len(DICTIONARY) == 1423
    assert DICTIONARY.startswith(b"\0\0\0\x07options\0\0\0\x04head")
    assert DICTIONARY.endswith(b"charset=utf-8charset=iso-8859-1,utf-,*,enq=0.")
    # zlib puts the dictionary's Adler-32 behind its header; the draft's example stream carries this one.
    assert zlib.adler32(DICTIONARY) == 0xE3C6A7C2


def test_data_frame_bytes() -> None:
    assert spdy.data_frame(5, b"abc") == b"\0\0\0\5\0\0\0\3abc"
    assert spdy.data_frame(5, b"", last=True) == b"\0\0\0\5\1\0\0\0"


def test_header_of_a_control_frame() -> None:
    assert spdy.parse_header(b"\x80\x03\x00\x06\x00\x00\x00\x04") == (spdy.PING, 0, 0, 4)
    assert spdy.parse_header(b"\0\0\0\7\1\0\0\2") == (0, 7, spdy.FLAG_FIN, 2)


@pytest.mark.parametrize("header", [b"\x80\x02\x00\x06\x00\x00\x00\x04", b"\0\0\0\7\0\xff\xff\xff"])
def test_other_versions_and_huge_frames_are_refused(header: bytes) -> None:
    with pytest.raises(spdy.ProtocolError):
        spdy.parse_header(header)


def test_header_block_both_ways() -> None:
    assert spdy.decode_headers(BLOCK) == {"streamtype": "stdin"}
    assert spdy.encode_headers({"streamtype": "stdin"}) == BLOCK
    with pytest.raises(spdy.ProtocolError):
        spdy.decode_headers(BLOCK[:-1])


class Peer:
    """A connection under test and the client's end of its socket."""

    def __init__(self) -> None:
        self.socket, ours = socket.socketpair()
        self.socket.settimeout(5)
        self.opened: queue.SimpleQueue[spdy.Stream] = queue.SimpleQueue()
        self.connection = spdy.Connection(ours, b"", self.opened.put)
        self.thread = threading.Thread(target=self.connection.serve, daemon=True)
        self.thread.start()

    def stream(self) -> spdy.Stream:
        return self.opened.get(timeout=5)

    def receive(self) -> tuple[int, int, int, bytes]:
        kind, stream, flags, length = spdy.parse_header(self.exactly(8))
        return kind, stream, flags, self.exactly(length)

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self.socket.recv(count - len(data))
        return data


def test_stream_opens_carries_data_and_ends() -> None:
    peer = Peer()
    peer.socket.sendall(syn_stream(1, compressed(BLOCK)))
    stream = peer.stream()
    assert stream.headers == {"streamtype": "stdin"}
    kind, _, _, payload = peer.receive()
    assert kind == spdy.SYN_REPLY
    assert payload[:4] == b"\0\0\0\1"
    reply = zlib.decompressobj(zdict=DICTIONARY).decompress(payload[4:])
    assert spdy.decode_headers(reply) == {}
    peer.socket.sendall(spdy.data_frame(1, b"hello") + spdy.data_frame(1, b"!", last=True))
    assert [stream.read(), stream.read(), stream.read()] == [b"hello", b"!", b""]
    stream.write(b"x" * 40000)
    assert [len(peer.receive()[3]), len(peer.receive()[3])] == [32768, 7232]
    stream.finish()
    stream.finish()
    assert peer.receive() == (0, 1, spdy.FLAG_FIN, b"")


def test_second_stream_continues_the_compression() -> None:
    packer = zlib.compressobj(zdict=DICTIONARY)
    peer = Peer()
    for number in (1, 3):
        block = packer.compress(BLOCK) + packer.flush(zlib.Z_SYNC_FLUSH)
        peer.socket.sendall(syn_stream(number, block))
        peer.receive()
        assert peer.stream().headers == {"streamtype": "stdin"}


def test_ping_is_answered_and_hang_up_ends_streams() -> None:
    peer = Peer()
    peer.socket.sendall(spdy.control_frame(spdy.PING, b"\0\0\0\x09") + syn_stream(1, compressed(BLOCK)))
    assert peer.receive() == (spdy.PING, 0, 0, b"\0\0\0\x09")
    stream = peer.stream()
    peer.socket.close()
    assert stream.read() == b""
    assert peer.connection.wait_end(5)


def test_reset_ends_one_stream_only() -> None:
    peer = Peer()
    packer = zlib.compressobj(zdict=DICTIONARY)
    for number in (1, 3):
        block = packer.compress(BLOCK) + packer.flush(zlib.Z_SYNC_FLUSH)
        peer.socket.sendall(syn_stream(number, block))
        peer.receive()
    peer.socket.sendall(
        spdy.control_frame(spdy.RST_STREAM, struct.pack("!II", 1, 5)) + spdy.data_frame(3, b"on")
    )
    assert peer.stream().read() == b""
    assert peer.stream().read() == b"on"


def test_garbage_ends_the_connection() -> None:
    peer = Peer()
    peer.socket.sendall(syn_stream(1, b"this is not zlib"))
    assert peer.connection.wait_end(5)
    assert peer.opened.empty()
