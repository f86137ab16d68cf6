"""Frames: how a stream of bytes becomes messages again, with a limit on what a peer can make us hold.

A frame is four bytes of length (unsigned, big-endian, of all that follows), one byte of flags, and the payload. Up to
protocol 2 the flags are zero; from protocol 3 on bit 0 says that the payload is compressed (zlib, RFC 1950).
"""

from __future__ import annotations

import asyncio
import struct
import zlib

LIMIT = 8 << 20  # bytes of a payload, also after decompression
COMPRESSES_FROM = 3  # the first protocol that knows the flag
COMPRESSED = 1
WORTHWHILE = 1024  # bytes: below, the time is worth more than the room

LENGTH = struct.Struct(">IB")


class BrokenFrame(Exception):
    """What came is no frame of this protocol: the connection cannot go on."""


def pack(payload: bytes, protocol: int) -> bytes:
    """`payload` as a frame of `protocol`.

    Raises ValueError if it is larger than `LIMIT`: the sender's own mistake.
    """
    if len(payload) > LIMIT:
        raise ValueError(f"a message of {len(payload)} bytes; a frame holds {LIMIT}")
    flags = 0
    if protocol >= COMPRESSES_FROM and len(payload) > WORTHWHILE:
        smaller = zlib.compress(payload, 1)
        if len(smaller) < len(payload):
            payload, flags = smaller, COMPRESSED
    return LENGTH.pack(len(payload) + 1, flags) + payload


async def read(stream: asyncio.StreamReader, protocol: int) -> bytes:
    """The payload of the next frame.

    Raises BrokenFrame if it is none or too large, asyncio.IncompleteReadError when the stream ends (with an empty
    `partial` if it ended between two frames).
    """
    length, flags = LENGTH.unpack(await stream.readexactly(LENGTH.size))
    if not 1 <= length <= LIMIT + 1:
        raise BrokenFrame(f"a frame of {length} bytes; {LIMIT} are the limit")
    payload = await stream.readexactly(length - 1)
    if flags == 0:
        return payload
    if flags != COMPRESSED or protocol < COMPRESSES_FROM:
        raise BrokenFrame(f"flags {flags:#04x} are not of protocol {protocol}")
    return inflate(payload)


def inflate(payload: bytes) -> bytes:
    """`payload` decompressed, never to more than `LIMIT` bytes whatever it says. Raises BrokenFrame."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(payload, LIMIT)
    except zlib.error as error:
        raise BrokenFrame(f"compressed payload: {error}") from error
    if not stream.eof or stream.unused_data:
        raise BrokenFrame("compressed payload: cut off, too large, or followed by something")
    return plain
