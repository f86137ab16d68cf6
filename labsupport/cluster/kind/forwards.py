"""Ports on this machine's loopback that lead to Services: one process for each, recorded, ended with the cluster.

A connection becomes `docker exec NODE socat`: it starts in the node's network, so that kube-proxy's rules apply and a
Pod that goes is replaced by another for the next connection, and it works where containers' addresses are out of reach
(Docker Desktop).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from labsupport import paths
from labsupport.cluster import process
from labsupport.cluster.kind.docker import Engine
from labsupport.errors import LabsError

BLOCK = 1 << 16


def _file(directory: Path) -> Path:
    return directory / "forwards.json"


def _read(directory: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(_file(directory).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _runs(entry: dict[str, Any]) -> bool:
    """Whether the recorded process runs; a pid that now is another process's does not count."""
    with suppress(psutil.Error, KeyError):
        found = psutil.Process(entry["pid"])
        return bool(found.create_time() == entry["started"] and found.status() != psutil.STATUS_ZOMBIE)
    return False


def forward(directory: Path, engine: Engine, node: str, target: str) -> int:
    """A port on 127.0.0.1 that leads to `target` (address:port) as seen from `node`; the same one each time."""
    known = _read(directory)
    entry = known.get(target)
    if entry and entry.get("node") == node and _runs(entry):
        return int(entry["port"])
    if not engine.run("exec", node, "sh", "-c", "command -v socat").ok:
        raise LabsError(
            "The node image has no socat, which `labs url` needs.",
            fix="`labs kubectl port-forward` reaches a Service's Pod",
            anchor="node-image",
        )
    command = [sys.executable, "-m", "labsupport.cluster.kind.forwards", str(engine.path), node, target]
    # A session of its own: it outlives this command, and its group is all that it starts.
    child = process.start(command, stderr=subprocess.DEVNULL)
    line = child.stdout.readline().strip() if child.stdout else b""
    if child.stdout:
        child.stdout.close()
    if not line.isdigit():
        process.end(child)
        raise LabsError("The port for `labs url` could not be opened.", fix="labs doctor")
    known[target] = {
        "node": node,
        "pid": child.pid,
        "port": int(line),
        "started": psutil.Process(child.pid).create_time(),
    }
    paths.write_private(_file(directory), json.dumps(known, indent=1))
    child.returncode = 0  # nobody waits for it here: `end_all` ends it
    return int(line)


def end_all(directory: Path) -> None:
    """End every forward of a cluster, with the connections that it carries."""
    for entry in _read(directory).values():
        if _runs(entry):
            for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 2.0)):
                with suppress(ProcessLookupError):
                    os.killpg(entry["pid"], number)
                deadline = time.monotonic() + seconds
                while process.group_alive(entry["pid"]) and time.monotonic() < deadline:
                    time.sleep(0.01)  # rarely our child: there is no event for its end
            with suppress(ChildProcessError):
                os.waitpid(entry["pid"], os.WNOHANG)  # if it is, nobody else lays it to rest
    _file(directory).unlink(missing_ok=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await source.read(BLOCK):
            sink.write(data)
            await sink.drain()
    with suppress(OSError, RuntimeError):
        if sink.can_write_eof():
            sink.write_eof()


async def serve(command: list[str]) -> None:
    """Listen on a free port of 127.0.0.1, print it, and run `command` for each connection."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            if child.stdin and child.stdout:
                sending = asyncio.create_task(_copy(reader, child.stdin))
                await _copy(child.stdout, writer)
                sending.cancel()
        finally:
            with suppress(ProcessLookupError):
                child.terminate()
            await child.wait()
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the end); whoever read the port may be gone
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        program, place, address = sys.argv[1:4]
        asyncio.run(serve([program, "exec", "-i", place, "socat", "-t", "60", "-", f"TCP4:{address}"]))
