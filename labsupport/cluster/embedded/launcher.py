"""The one process of a cluster on the host: it holds the nodes' namespaces and passes connections into them.

Started by the back end as `python -m labsupport.cluster.embedded.launcher DIRECTORY FD`; it goes on in the background,
reads `launch.json` there, reports in `launcher.json`, and writes one byte to FD when it has reported first. With a
third word, `scope`, it is alone in a control group that it may divide (delegation.py). When it
ends, however it ends, the kernel ends everything in the namespaces (parent death signals down to pid 1 of each node).
SIGTERM ends it in order. It ends with node 1; further nodes come and go by command (workers.py).

Commands come over `control.sock` (only the owner can reach it): one JSON line, one JSON line back.
`{"forward": "address:port"}` answers `{"port"}`; `{"node": name, "do": "start"}` (or stop, partition, heal) answers
`{"nodes"}`, the same as in launcher.json. What cannot be done is answered by `{"error"}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded import delegation, keeper, linux, noderoot, relay, workers
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.embedded.keeper import Kept, NotPossible, process_identity

API_TARGET = "127.0.0.1:6443"
STOP_SECONDS = 20.0  # for an orderly end of the nodes; after that they are killed


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback address; another free port where `port` is taken."""
    for candidate in (port, 0):
        # Named as TCP, asyncio switches Nagle's algorithm off on what it accepts: otherwise many an answer of more
        # than one segment waits 40 ms for the client's delayed acknowledgement.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # A restart must not wait for connections of the last run that the kernel still remembers.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen(256)
        except OSError:
            listener.close()
            continue
        return listener
    raise NotPossible("no free TCP port on 127.0.0.1")


class Launcher:
    """Passes connections, answers commands, and ends with its first node."""

    def __init__(self, directory: Path, settings: dict[str, Any], tell: int) -> None:
        self.directory = directory
        self.tell = tell
        self.settings = settings
        self.socket = Path(settings["host"]) / "api.sock"
        self.forwards: dict[str, int] = {}
        self.servers: list[asyncio.Server] = []
        self.running: dict[str, Any] = {}
        self.workers: workers.Workers

    def report(self, **content: Any) -> None:
        """Replace launcher.json."""
        temporary = self.directory / ".launcher.json.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        temporary.replace(self.directory / "launcher.json")
        if self.tell >= 0:
            with contextlib.suppress(BrokenPipeError):  # who started us was interrupted
                os.write(self.tell, b".")
            os.close(self.tell)
            self.tell = -1

    def report_running(self) -> None:
        """Replace launcher.json after a change of a worker; a full disk must not end the cluster."""
        try:
            self.report(**self.running, nodes=self.workers.as_dict())
        except OSError as error:
            print(f"launcher.json: {error}", file=sys.stderr, flush=True)

    async def pass_on(self, target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection from the host to `target` in the node."""
        try:
            upstream = await relay.open_through(self.socket, target)
        except OSError:
            writer.close()
            return
        await relay.join((reader, writer), upstream)

    async def forward(self, target: str, listener: socket.socket | None = None) -> int:
        """Listen on loopback for `target`; the port. Asking again for the same target gives the same port."""
        if target not in self.forwards:
            bound = listener or listen(0)
            server = await asyncio.start_server(partial(self.pass_on, target), sock=bound, limit=relay.BUFFER)
            self.servers.append(server)
            self.forwards[target] = bound.getsockname()[1]
        return self.forwards[target]

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a command is answered with; raises what `obey` turns into an error."""
        if "node" in request:
            await self.workers.do(str(request["do"]), str(request["node"]))
            return {"nodes": self.workers.as_dict()}
        return {"port": await self.forward(str(request["forward"]))}

    async def obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One command over control.sock."""
        try:
            answer = await self.answer(json.loads(await asyncio.wait_for(reader.readline(), 5)))
        except (OSError, ValueError, KeyError, TimeoutError, NotPossible) as error:
            answer = {"error": str(error) or type(error).__name__}
        writer.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def run(self, listener: socket.socket, first: Kept) -> int:
        """Serve until the first node has ended; its exit status."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        self.workers = workers.Workers(self.settings, first.init, self.report_running)
        await self.forward(API_TARGET, listener)
        control = self.directory / "control.sock"
        control.unlink(missing_ok=True)
        directory = os.open(self.directory, os.O_PATH | os.O_CLOEXEC)
        self.servers.append(
            await asyncio.start_unix_server(self.obey, f"/proc/self/fd/{directory}/control.sock")
        )
        ended = workers.end_of(first.keeper)
        self.running = {
            "phase": "running",
            "port": listener.getsockname()[1],
            "launcher": process_identity(os.getpid()),
            "keeper": process_identity(first.keeper),
            "init": process_identity(first.init),
        }
        self.report(**self.running, nodes={})
        stopping = asyncio.ensure_future(stop.wait())
        waited: list[asyncio.Future[Any]] = [stopping, ended]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        others = asyncio.create_task(self.workers.end_all(STOP_SECONDS if not ended.done() else 0))
        if not ended.done():
            os.kill(first.init, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS)
        if not ended.done():
            os.kill(first.keeper, signal.SIGKILL)
            await ended
        await others
        stopping.cancel()
        for server in self.servers:
            server.close()
        code = os.waitstatus_to_exitcode(os.waitpid(first.keeper, 0)[1])
        delegation.remove_node_group(first.keeper)
        return code


def main() -> int:
    """Start the node that launch.json describes and stay until it has ended."""
    directory, tell = Path(sys.argv[1]), int(sys.argv[2])
    if os.fork():
        os._exit(0)
    os.set_inheritable(tell, False)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    settings = json.loads((directory / "launch.json").read_text())
    linux.set_name("labs-launcher")
    launcher = Launcher(directory, settings, tell)
    if sys.argv[3:] == ["scope"] and (why := delegation.take_scope()):
        print(f"launcher: the control group cannot be divided: {why}", file=sys.stderr, flush=True)
    id_map = IdMap(**settings["idmap"])
    sources = noderoot.Sources(
        course_root=Path(settings["course_root"]),
        package=Path(settings["package"]),
        etc=Path(settings["etc"]),
        var=Path(settings["var"]),
        host=Path(settings["host"]),
        programs={name: Path(path) for name, path in settings["programs"].items()},
    )
    try:
        listener = listen(settings["port"])
        first = keeper.start(id_map, partial(noderoot.enter_namespaces, id_map, sources))
    except (NotPossible, OSError) as error:
        launcher.report(phase="failed", error=str(error))
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        return 1
    code = asyncio.run(launcher.run(listener, first))
    launcher.report(phase="ended", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
