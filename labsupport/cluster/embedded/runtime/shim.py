"""The shim: parent of all containers. It forks them, pumps their logs and records their ends.

Small, single-threaded and standard library only, so that a fork is cheap and that it goes on when the CRI server
restarts. It listens on a unix socket: one JSON object per line. A request {"op", "rid", ...} is answered by
{"rid", ...} or {"rid", "error"}; a connection that said "hello" also gets {"event": "exit", ...}. The requests
"exec" and "attach" turn their connection into the stream of that one exec or attach.

    python3 -m labsupport.cluster.embedded.runtime.shim
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import config as configuration
from labsupport.cluster.embedded.runtime import process_init, sandbox_init, spec
from labsupport.cluster.embedded.runtime.loop import NEW, Forker, Loop, exit_code, receive_fds
from labsupport.cluster.embedded.runtime.shim_container import (
    RunningContainer,
    Streams,
    namespace_inode,
)

Message = dict[str, Any]
Reply = Callable[[Message], None]
_MAX_REQUEST = 1 << 20


class Shim:
    """The requests, and the table of containers."""

    def __init__(self, config: configuration.Config) -> None:
        """End what an earlier shim left, then listen."""
        self.loop, self.forker = Loop(), Forker()
        self.containers: dict[str, RunningContainer] = {}
        self.holders: dict[str, int] = {}  # sandbox id -> pid 1 of its shared PID namespace
        self.listeners: list[socket.socket] = []
        self.pids = config.run / "pids"
        self.pids.mkdir(parents=True, exist_ok=True)
        (config.run / "stage").mkdir(exist_ok=True)
        self.end_leftovers()
        config.shim_socket.unlink(missing_ok=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(config.shim_socket))
        config.shim_socket.chmod(0o600)
        self.server.listen(128)
        self.loop.on_readable(self.server.fileno(), self.accept)

    # Connections

    def accept(self) -> None:
        """Take a new connection."""
        connection, _ = self.server.accept()
        buffer = bytearray()
        self.loop.on_readable(connection.fileno(), lambda: self.receive(connection, buffer))

    def receive(self, connection: socket.socket, buffer: bytearray) -> None:
        """Handle the complete requests among what has arrived."""
        try:
            data, fds = receive_fds(connection, _MAX_REQUEST, 3)
        except ConnectionError:
            data, fds = b"", []
        if not data:
            self.hang_up(connection)
            return
        buffer += data
        while (end := buffer.find(b"\n")) >= 0:
            request = json.loads(bytes(buffer[:end]))
            del buffer[: end + 1]
            if request["op"] in ("exec", "attach"):
                self.loop.forget(connection.fileno())
                if request["op"] == "exec":
                    self.exec(connection, spec.exec_from_json(request["spec"]), fds)
                else:
                    self.attach(connection, request, bytes(buffer))
                return
            self.answer(connection, request)

    def hang_up(self, connection: socket.socket) -> None:
        """Close a control connection."""
        self.loop.forget(connection.fileno())
        with contextlib.suppress(ValueError):
            self.listeners.remove(connection)
        connection.close()

    def answer(self, connection: socket.socket, request: Message) -> None:
        """Run one request; it replies now or when its child has reported."""

        def reply(message: Message) -> None:
            with contextlib.suppress(OSError):
                connection.sendall(json.dumps({"rid": request["rid"], **message}).encode() + b"\n")

        operations: dict[str, Callable[[Message, Reply], None]] = {
            "sandbox": self.sandbox,
            "end_sandbox": self.end_sandbox,
            "start": self.start,
            "kill": self.kill,
            "forget": self.forget,
            "reopen_log": self.reopen_log,
            "resize": self.resize,
        }
        try:
            if request["op"] == "hello":
                self.listeners.append(connection)
                reply(self.state())
            else:
                operations[request["op"]](request, reply)
        except Exception as error:
            reply({"error": process_init.describe(error)})

    def state(self) -> Message:
        """All containers and shared PID namespaces: what a new CRI server must know."""
        return {
            "containers": {
                name: {"pid": c.pid, "exit_code": c.exit_code, "finished_at": c.finished_at}
                for name, c in self.containers.items()
            },
            "holders": list(self.holders),
        }

    # Sandboxes

    def sandbox(self, request: Message, reply: Reply) -> None:
        """Make a sandbox in a child, and the holder of its PID namespace if it shares one."""
        wanted = spec.sandbox_from_json(request["spec"])
        pid, status = self.forker.fork(lambda _: sandbox_init.create(wanted))

        def done(error: str) -> None:
            os.waitpid(pid, 0)
            if error:
                reply({"error": error})
            elif wanted.shared_pid:
                self.hold(wanted, reply)
            else:
                reply({})

        self.watch_start(status, lambda _: None, done)

    def hold(self, wanted: spec.SandboxSpec, reply: Reply) -> None:
        """Start the first process of a shared PID namespace and pin the namespace."""
        holder, status = self.forker.fork(
            lambda _: sandbox_init.hold_pid_namespace(wanted.course_root, wanted.stage), NEW
        )
        self.holders[wanted.id] = holder
        pin = Path(wanted.directory) / "pid"
        pin.touch()
        linux.mount(f"/proc/{holder}/ns/pid", pin, None, linux.MS_BIND)
        self.watch_start(status, lambda _: None, lambda error: reply({"error": error} if error else {}))

    def end_sandbox(self, request: Message, reply: Reply) -> None:
        """End the holder of a shared PID namespace, and so every process in it."""
        if holder := self.holders.pop(request["id"], None):
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
        reply({})

    # Containers

    def start(self, request: Message, reply: Reply) -> None:
        """Fork a container's main process; reply when its program runs, or with the reason why not."""
        wanted = spec.container_from_json(request["spec"])
        namespace = None if wanted.host_pid else wanted.namespaces.get("pid", NEW)
        with contextlib.ExitStack() as on_failure:
            streams = Streams.open(wanted, on_failure)
            pid, status = self.forker.fork(
                lambda status: process_init.run_container(wanted, streams.child_ends, status), namespace
            )
            on_failure.pop_all()
        for fd in streams.child_ends:
            os.close(fd)
        mark = self.mark(pid)

        def finished() -> None:
            mark.unlink(missing_ok=True)
            self.tell(
                {
                    "event": "exit",
                    "id": wanted.id,
                    "exit_code": container.exit_code,
                    "finished_at": container.finished_at,
                }
            )

        container = RunningContainer(self.loop, wanted, pid, streams, finished)
        self.containers[wanted.id] = container  # from now on, so that it can be killed while it starts

        def done(error: str) -> None:
            if error:
                mark.unlink(missing_ok=True)
                self.containers.pop(wanted.id, None)
                container.discard()
                reply({"error": error})
                return
            container.mount_namespace = namespace_inode(pid, "mnt")
            reply({"pid": pid})
            self.loop.on_readable(container.pidfd, container.reap)

        self.watch_start(status, container.add_terminal, done)

    def watch_start(
        self, status: socket.socket, on_terminal: Callable[[int], None], done: Callable[[str], None]
    ) -> None:
        """Read a child's status socket until it closes; then call `done` with "" or the error."""
        error = ""

        def read() -> None:
            nonlocal error
            data, fds = receive_fds(status, 4096, 1)
            if data[:1] == process_init.TAG_TERMINAL:
                on_terminal(fds[0])
            elif data[:1] == process_init.TAG_ERROR:
                error = data[1:].decode(errors="replace") or "unknown error"
            else:
                self.loop.forget(status.fileno())
                status.close()
                done(error)

        self.loop.on_readable(status.fileno(), read)

    def kill(self, request: Message, reply: Reply) -> None:
        """Send a signal to a container's main process."""
        if container := self.containers.get(request["id"]):
            container.kill(request["signal"])
        reply({})

    def forget(self, request: Message, reply: Reply) -> None:
        """Drop a container that nobody wants any more; one that still runs is killed."""
        if container := self.containers.pop(request["id"], None):
            container.kill(signal.SIGKILL)
        reply({})

    def reopen_log(self, request: Message, reply: Reply) -> None:
        """Continue a container's log in a new file."""
        self.running(request["id"]).reopen_log()
        reply({})

    def resize(self, request: Message, reply: Reply) -> None:
        """Change the size of a container's terminal."""
        self.running(request["id"]).resize(request["height"], request["width"])
        reply({})

    def running(self, container_id: str) -> RunningContainer:
        """The container, if it runs; else LookupError."""
        container = self.containers.get(container_id)
        if container is None or container.exit_code is not None:
            raise LookupError("container is not running")
        return container

    def tell(self, event: Message) -> None:
        """Send an event to every CRI server that listens."""
        for listener in list(self.listeners):
            try:
                listener.sendall(json.dumps(event).encode() + b"\n")
            except OSError:
                self.hang_up(listener)

    # Exec and attach

    def attach(self, connection: socket.socket, request: Message, early: bytes) -> None:
        """Connect a client to a container's output and input; not running means an immediate end."""
        try:
            container = self.running(request["id"])
        except LookupError:
            connection.close()
            return
        container.attach(connection, early, close_stdin=request["close_stdin"])

    def exec(self, connection: socket.socket, wanted: spec.ExecSpec, fds: list[int]) -> None:
        """Run a program in a container; its descriptors came with the request, its terminal goes back.

        The last line on the connection is {"exit_code"} or {"error"}. A hang-up ends the program.
        """

        def send(message: Message, descriptors: list[int] | None = None) -> None:
            with contextlib.suppress(OSError):
                socket.send_fds(connection, [json.dumps(message).encode() + b"\n"], descriptors or [])

        try:
            container = self.running(wanted.container_id)
            pid, status = self.forker.fork(
                lambda status: process_init.run_exec(
                    wanted.argv, container.spec, container.pidfd, fds, status, tty=wanted.tty
                ),
                None if container.spec.host_pid else container.pidfd,
            )
        except (LookupError, OSError) as error:
            send({"error": process_init.describe(error)})
            connection.close()
            return
        finally:
            for fd in fds:
                os.close(fd)
        pidfd = linux.pidfd_open(pid)

        def terminal(master: int) -> None:
            send({"terminal": True}, [master])
            os.close(master)

        def started(error: str) -> None:
            def ended() -> None:
                self.loop.forget(pidfd)
                os.close(pidfd)
                _, wait_status = os.waitpid(pid, 0)
                send({"error": error} if error else {"exit_code": exit_code(wait_status)})
                self.loop.forget(connection.fileno())
                connection.close()

            self.loop.on_readable(pidfd, ended)

        def gone() -> None:
            # Anything read here is the end: the client sends nothing after its request. The child leads a
            # process group and has not been waited for, so the number cannot belong to another one.
            self.loop.forget(connection.fileno())
            for end in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    end(pid, signal.SIGKILL)

        self.loop.on_readable(connection.fileno(), gone)
        self.watch_start(status, terminal, started)

    # Leftovers

    def mark(self, pid: int) -> Path:
        """Leave a file that lets the next shim find this process if this one dies."""
        path = self.pids / f"{pid}-{start_time(pid)}"
        path.touch()
        return path

    def end_leftovers(self) -> None:
        """End containers whose shim died without them: nobody pumps their logs any more."""
        for path in self.pids.iterdir():
            pid, _, started = path.name.partition("-")
            if start_time(int(pid)) == started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            path.unlink()


def start_time(pid: int) -> str:
    """When a process started, in clock ticks since boot: with the pid it names a process for good."""
    try:
        # The name in parentheses may hold anything; the fields are counted from the last ")".
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def main() -> None:
    """Run the shim until it is killed."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    linux.set_name("labs-shim")
    # A container needs five descriptors here, and the usual limit is 1024.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    shim = Shim(configuration.load())
    gc.collect()
    gc.freeze()  # children share these pages
    print("shim ready", file=sys.stderr, flush=True)
    shim.loop.run()


if __name__ == "__main__":
    main()
