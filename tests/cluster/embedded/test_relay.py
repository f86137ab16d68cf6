"""The relay: whole streams both ways, half-close, refusals in words."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from labsupport.cluster.embedded import relay


async def echo_after_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers only when the client has half-closed, so a lost half-close hangs the test."""
    data = await reader.read(-1)
    writer.write(data[::-1])
    writer.close()


def test_bytes_and_half_close_pass_both_ways(tmp_path: Path) -> None:
    async def go() -> bytes:
        server = await asyncio.start_server(echo_after_end, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        node = await asyncio.start_unix_server(relay.serve_in_node, tmp_path / "api.sock")
        async with asyncio.timeout(10):
            reader, writer = await relay.open_through(tmp_path / "api.sock", f"127.0.0.1:{port}")
            writer.write(bytes(range(256)) * 4096)
            writer.write_eof()
            answer = await reader.read(-1)
        writer.close()
        server.close()
        node.close()
        return answer

    assert asyncio.run(go()) == (bytes(range(256)) * 4096)[::-1]


@pytest.mark.parametrize("target", ["127.0.0.1:1", "nonsense", "127.0.0.1:notaport"])
def test_a_target_that_is_not_there_is_an_error_with_a_reason(tmp_path: Path, target: str) -> None:
    async def go() -> None:
        node = await asyncio.start_unix_server(relay.serve_in_node, tmp_path / "api.sock")
        try:
            async with asyncio.timeout(10):
                await relay.open_through(tmp_path / "api.sock", target)
        finally:
            node.close()

    with pytest.raises(OSError, match=r"refused|not understood|Connect"):
        asyncio.run(go())


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)

    async def go() -> None:
        with pytest.raises(FileNotFoundError):
            await relay.open_through(deep / "api.sock", "127.0.0.1:1")

    asyncio.run(go())
