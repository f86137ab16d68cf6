"""The one process of a cluster on the host: it holds the namespaces and passes connections into them.

Started by the back end as `python -m labsupport.cluster.embedded.launcher DIRECTORY FD`; it goes on in the background,
reads `launch.json` there, reports in `launcher.json`, and writes one byte to FD when it has reported first. When it
ends, however it ends, the kernel ends everything in the namespaces (parent death signals down to pid 1 of the node).
SIGTERM ends it in order.

Commands come over `control.sock` (only the owner can reach it): one JSON line, one JSON line back.
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

from labsupport.cluster.embedded import linux, noderoot, relay
from labsupport.cluster.embedded.idmap import IdMap

API_TARGET = "127.0.0.1:6443"
STOP_SECONDS = 20.0  # for an orderly end of the node; after that it is killed
NODE_COMMAND = ("/usr/bin/python3", "-s", "-m", "labsupport.cluster.embedded.node")
NODE_ENVIRONMENT = {"PYTHONPATH": "/opt/labs/lib", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class NotPossible(Exception):
    """The host refused something that the node needs."""


def process_identity(pid: int) -> dict[str, Any]:
    """What tells this process from a later one with the same number: its start time and the boot it belongs to."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "pid": pid,
        "start_ticks": int(fields[19]),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }


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


def start_node(id_map: IdMap, sources: noderoot.Sources) -> tuple[int, int]:
    """Start the node in its namespaces; returns the pids (on the host) of its keeper and of its pid 1.

    The keeper is the process that went into the namespaces; it waits for pid 1 and ends with its exit status.
    """
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    launcher = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        os.close(from_child)
        os.close(to_child)
        _keep(id_map, sources, launcher, to_parent, from_parent)
    os.close(to_parent)
    os.close(from_parent)
    try:
        with os.fdopen(from_child, "r") as messages:
            for line in messages:
                word, _, rest = line.rstrip("\n").partition(" ")
                if word == "MAP":
                    noderoot.write_map_of(keeper, id_map)
                    os.write(to_child, b"x")
                elif word == "INIT":
                    init = _child_of(keeper)
                elif word == "ERROR":
                    raise NotPossible(rest)
        return keeper, init
    except UnboundLocalError:
        raise NotPossible("the process that enters the namespaces ended without a word") from None
    finally:
        os.close(to_child)


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _keep(id_map: IdMap, sources: noderoot.Sources, launcher: int, to_parent: int, from_parent: int) -> None:
    """In the keeper: enter the namespaces, start pid 1, wait for it. Never returns."""

    def say(text: str) -> None:
        os.write(to_parent, text.replace("\n", " ").encode() + b"\n")

    def map_me() -> None:
        say("MAP")
        if os.read(from_parent, 1) != b"x":
            raise OSError("the launcher could not write the map of ids")

    code = 1
    try:
        # A Ctrl-C belongs to the command that started us, not to the cluster.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        linux.set_name("labs-keeper")
        noderoot.enter_namespaces(id_map, sources, map_me)
        # After the change of ids, which clears it.
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(1)
        init = os.fork()
        if init == 0:
            try:
                noderoot.build_and_enter()
                # The pipe closes at exec: its end tells the launcher that pid 1 runs.
                os.execve(NODE_COMMAND[0], NODE_COMMAND, NODE_ENVIRONMENT)
            except BaseException as error:
                say(f"ERROR {error}")
            os._exit(1)
        say("INIT")
        os.close(to_parent)
        _, status = os.waitpid(init, 0)
        code = os.waitstatus_to_exitcode(status) & 0xFF
    except BaseException as error:
        with contextlib.suppress(OSError):
            say(f"ERROR {error}")
    os._exit(code)


class Launcher:
    """Passes connections, answers commands, and ends with its node."""

    def __init__(self, directory: Path, settings: dict[str, Any], tell: int) -> None:
        self.directory = directory
        self.tell = tell
        self.socket = Path(settings["host"]) / "api.sock"
        self.forwards: dict[str, int] = {}
        self.servers: list[asyncio.Server] = []

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

    async def obey(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One command over control.sock."""
        try:
            request = json.loads(await asyncio.wait_for(reader.readline(), 5))
            answer: dict[str, Any] = {"port": await self.forward(str(request["forward"]))}
        except (OSError, ValueError, KeyError, TimeoutError, NotPossible) as error:
            answer = {"error": str(error) or type(error).__name__}
        writer.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def run(self, listener: socket.socket, keeper: int, init: int) -> int:
        """Serve until the node has ended; its exit status."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        await self.forward(API_TARGET, listener)
        control = self.directory / "control.sock"
        control.unlink(missing_ok=True)
        directory = os.open(self.directory, os.O_PATH | os.O_CLOEXEC)
        self.servers.append(
            await asyncio.start_unix_server(self.obey, f"/proc/self/fd/{directory}/control.sock")
        )
        ended = loop.create_future()
        descriptor = os.pidfd_open(keeper)

        def note_end() -> None:
            loop.remove_reader(descriptor)
            ended.set_result(None)

        loop.add_reader(descriptor, note_end)
        self.report(
            phase="running",
            port=listener.getsockname()[1],
            launcher=process_identity(os.getpid()),
            keeper=process_identity(keeper),
            init=process_identity(init),
        )
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, ended], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            os.kill(init, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(ended), STOP_SECONDS)
        if not ended.done():
            os.kill(keeper, signal.SIGKILL)
            await ended
        stopping.cancel()
        for server in self.servers:
            server.close()
        return os.waitstatus_to_exitcode(os.waitpid(keeper, 0)[1])


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
        keeper, init = start_node(IdMap(**settings["idmap"]), sources)
    except (NotPossible, OSError) as error:
        launcher.report(phase="failed", error=str(error))
        print(f"launcher: {error}", file=sys.stderr, flush=True)
        return 1
    code = asyncio.run(launcher.run(listener, keeper, init))
    launcher.report(phase="ended", code=code)
    return code


if __name__ == "__main__":
    sys.exit(main())
