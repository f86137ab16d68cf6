"""Byte streams from the host into the node: one Unix socket, a target per connection. Standard library only.

The node has no network of the host's, so the host reaches it through `api.sock` in a directory that both see. A
connection begins with one line `CONNECT <address>:<port>`; the node answers `OK` or `ERROR <why>` in one line, and
from then on bytes pass both ways. Only the host opens connections: nothing in the node can get out this way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

CONNECT_SECONDS = 5.0
BUFFER = 1 << 18


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes until the end of input, then say so to the other side (half-close)."""
    while data := await reader.read(BUFFER):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def join(
    left: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    right: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Pass bytes both ways until both directions have ended or one broke; closes both."""
    copies = [asyncio.create_task(_copy(left[0], right[1])), asyncio.create_task(_copy(right[0], left[1]))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        for writer in (left[1], right[1]):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def serve_in_node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The node's end of one connection."""
    try:
        line = (await asyncio.wait_for(reader.readline(), CONNECT_SECONDS)).decode()
        verb, _, target = line.strip().partition(" ")
        address, _, port = target.rpartition(":")
        if verb != "CONNECT" or not port.isdigit():
            raise OSError(f"not understood: {line!r}")
        upstream = await asyncio.wait_for(
            asyncio.open_connection(address, int(port), limit=BUFFER), CONNECT_SECONDS
        )
    except (OSError, TimeoutError, ValueError) as error:
        with contextlib.suppress(OSError):
            writer.write(f"ERROR {error or 'no answer'}\n".encode())
            await writer.drain()
        writer.close()
        return
    writer.write(b"OK\n")
    await join((reader, writer), upstream)


async def open_through(socket_path: Path, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The host's end: a stream to `target` ("address:port" in the node). Raises OSError with the node's reason."""
    # A path longer than a socket address takes (108 bytes) is reached through its directory's descriptor.
    directory = os.open(socket_path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        reader, writer = await asyncio.open_unix_connection(
            f"/proc/self/fd/{directory}/{socket_path.name}", limit=BUFFER
        )
    finally:
        os.close(directory)
    writer.write(f"CONNECT {target}\n".encode())
    try:
        answer = (await asyncio.wait_for(reader.readline(), CONNECT_SECONDS + 1)).decode().strip()
    except (OSError, TimeoutError) as error:
        writer.close()
        raise OSError(f"the node does not answer: {error}") from error
    if answer != "OK":
        writer.close()
        raise OSError(answer.removeprefix("ERROR ") or "the node closed the connection")
    return reader, writer
