"""Bytes to messages: every cut, every size, and nothing that makes us hold more than the limit."""

from __future__ import annotations

import asyncio
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labsupport.quorum.wire import frames, handshake
from labsupport.quorum.wire.envelope import Codec
from labsupport.quorum.wire.frames import BrokenFrame
from labsupport.quorum.wire.handshake import Hello, Refusal

OURS = Hello("uid", 1, "demo-0", "1.1", 1, 2)


def read(data: bytes, protocol: int) -> bytes:
    async def one() -> bytes:
        stream = asyncio.StreamReader()
        stream.feed_data(data)
        stream.feed_eof()
        return await frames.read(stream, protocol)

    return asyncio.run(one())


@given(st.binary(max_size=4000), st.integers(0, 4))
def test_what_is_packed_is_read(payload: bytes, protocol: int) -> None:
    assert read(frames.pack(payload, protocol), protocol) == payload


def test_only_protocol_3_compresses() -> None:
    payload = b"a" * 5000
    assert len(frames.pack(payload, 2)) > 5000
    packed = frames.pack(payload, 3)
    assert len(packed) < 100
    with pytest.raises(BrokenFrame, match="protocol 2"):
        read(packed, 2)


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_frame_that_is_cut_off(cut: int) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        read(frames.pack(b"sevensev", 1)[:-cut], 1)


def test_what_is_too_large_is_not_held() -> None:
    with pytest.raises(ValueError, match="a frame holds"):
        frames.pack(bytes(frames.LIMIT + 1), 1)
    with pytest.raises(BrokenFrame, match="limit"):
        read(frames.LENGTH.pack(frames.LIMIT + 2, 0), 1)
    bomb = zlib.compress(bytes(frames.LIMIT + 1))
    with pytest.raises(BrokenFrame, match="too large"):
        read(frames.LENGTH.pack(len(bomb) + 1, 1) + bomb, 3)
    with pytest.raises(BrokenFrame, match="compressed"):
        read(frames.LENGTH.pack(5, 1) + b"none", 3)


class Ping(msgspec.Struct, frozen=True):
    number: int
    note: bytes = b""


class LaterPing(msgspec.Struct, frozen=True):
    number: int
    note: bytes = b""
    more: str = "new"


def test_unknown_fields_are_passed_over_and_unknown_kinds_refused() -> None:
    codec = Codec({"ping": Ping})
    envelope, message = codec.decode(Codec({"ping": LaterPing}).encode(LaterPing(7), call=3))
    assert message == Ping(7)
    assert envelope.call == 3
    with pytest.raises(BrokenFrame, match="'pong'"):
        codec.decode(Codec({"pong": Ping}).encode(Ping(1)))
    wrong = Codec({"ping": handshake.Goodbye}).encode(handshake.Goodbye("x"))
    with pytest.raises(BrokenFrame, match="number"):
        codec.decode(wrong)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    codec = Codec({"ping": Ping})
    try:
        codec.decode(data)
    except BrokenFrame:
        return


@pytest.mark.parametrize(("oldest", "newest", "agreed"), [(1, 1, 1), (1, 2, 2), (2, 3, 2), (1, 9, 2)])
def test_the_highest_common_version(oldest: int, newest: int, agreed: int) -> None:
    theirs = Hello("uid", 2, "demo-1", "x", oldest, newest)
    assert handshake.agree(OURS, theirs, "demo-1") == agreed
    assert handshake.agree(theirs, OURS, "demo-0") == agreed


@pytest.mark.parametrize(
    ("theirs", "certified", "reason"),
    [
        (Hello("uid", 2, "demo-1", "9", 3, 4), "demo-1", "none in common"),
        (Hello("other", 2, "demo-1", "1.1", 1, 2), "demo-1", "another Quorum"),
        (Hello("uid", 2, "demo-1", "1.1", 1, 2), "demo-2", "its certificate says demo-2"),
        (Hello("uid", 1, "demo-1", "1.1", 1, 2), "demo-1", "is a copy"),
    ],
)
def test_whom_we_do_not_talk_to(theirs: Hello, certified: str, reason: str) -> None:
    with pytest.raises(Refusal, match=reason):
        handshake.agree(OURS, theirs, certified)


def test_a_greeting_of_a_later_release_is_understood() -> None:
    later = {"type": "hello", "cluster": "uid", "member": 2, "name": "demo-1", "release": "9", "oldest": 2}
    payload = msgspec.msgpack.encode({**later, "newest": 9, "region": "x"})
    assert handshake.decode(payload).newest == 9
    with pytest.raises(Refusal, match="because"):
        handshake.decode(handshake.encode(handshake.Goodbye("because")))
    with pytest.raises(Refusal, match="no greeting"):
        handshake.decode(b"GET / HTTP/1.1")
