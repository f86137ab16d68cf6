"""A running container as the shim sees it: its output goes to the log and to who is attached, its end is recorded.

Standard library only. Nothing here may block: one slow reader would stop every container of the node.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import signal
import socket
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import logs
from labsupport.cluster.embedded.runtime.loop import Loop, exit_code
from labsupport.cluster.embedded.runtime.spec import ContainerSpec

STDOUT, STDERR = 1, 2
FRAME = struct.Struct("!BI")  # an attach connection carries frames: stream number, length, data
_ATTACH_BACKLOG = 8 << 20
_CHUNK = 65536


class Attached:
    """A connection that sees a container's output and may feed its standard input."""

    def __init__(self, loop: Loop, connection: socket.socket) -> None:
        """Take over a connection; it must already be forgotten by the loop."""
        self.loop, self.connection = loop, connection
        self.closed = False
        connection.setblocking(False)
        # Output uses a second descriptor: the loop knows one interest per descriptor.
        self.out = connection.dup()
        self.backlog = bytearray()

    def write(self, stream: int, data: bytes) -> None:
        """Queue one frame; a reader that is too far behind is cut off."""
        if self.closed:
            return
        waiting = bool(self.backlog)
        self.backlog += FRAME.pack(stream, len(data)) + data
        if len(self.backlog) > _ATTACH_BACKLOG:
            self.close()
        elif not waiting:
            self._flush()
            if self.backlog and not self.closed:
                self.loop.on_writable(self.out.fileno(), self._drain)

    def _flush(self) -> None:
        try:
            sent = self.out.send(self.backlog)
            del self.backlog[:sent]
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _drain(self) -> None:
        self._flush()
        if not self.backlog and not self.closed:
            self.loop.forget(self.out.fileno())

    def finish(self) -> None:
        """Send what is queued, then close: the container has ended."""
        if not self.closed and self.backlog:
            self.out.setblocking(True)
            self.out.settimeout(1)
            with contextlib.suppress(OSError):
                self.out.sendall(self.backlog)
        self.close()

    def close(self) -> None:
        """Close both descriptors."""
        if self.closed:
            return
        self.closed = True
        for end in (self.connection, self.out):
            self.loop.forget(end.fileno())
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.out.close()


def open_log(path: str) -> int:
    """Open a container's log file for appending, making its directory; without a path nothing is kept."""
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    return os.open(path or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


@dataclass(frozen=True)
class Streams:
    """The descriptors of a container that is about to start: the child's three, and the shim's other ends.

    `outputs` are (descriptor, STDOUT or STDERR). With a terminal there are none but the log.
    """

    log: int
    child_ends: tuple[int, ...] = ()
    outputs: tuple[tuple[int, int], ...] = ()
    input: int | None = None

    @staticmethod
    def open(spec: ContainerSpec, on_failure: contextlib.ExitStack) -> Streams:
        """Open what the container needs; `on_failure` learns how to close it. Raises OSError."""

        def keep(fd: int) -> int:
            on_failure.callback(os.close, fd)
            return fd

        log = keep(open_log(spec.log_path))
        if spec.tty:
            return Streams(log)
        stdin = None
        if spec.stdin:
            read_end, stdin = map(keep, os.pipe())
            os.set_blocking(stdin, False)
        else:
            read_end = keep(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        out_read, out_write = map(keep, os.pipe())
        err_read, err_write = map(keep, os.pipe())
        outputs = ((out_read, STDOUT), (err_read, STDERR))
        return Streams(log, (read_end, out_write, err_write), outputs, stdin)


class RunningContainer:
    """The main process of a container, from its fork to its end."""

    def __init__(
        self, loop: Loop, spec: ContainerSpec, pid: int, streams: Streams, on_exit: Callable[[], None]
    ) -> None:
        """Watch process `pid`; `on_exit` is called once, after the last output is in the log."""
        self.loop, self.spec, self.pid = loop, spec, pid
        self.on_exit = on_exit
        self.pidfd = linux.pidfd_open(pid)
        self.exit_code: int | None = None
        self.finished_at = 0
        self.log = streams.log
        self.outputs: dict[int, tuple[int, logs.LineSplitter]] = {}
        self.input = streams.input
        self.pending_input = bytearray()
        self.attached: list[Attached] = []
        self.mount_namespace = 0
        for fd, stream in streams.outputs:
            self.add_output(fd, stream)

    # Output

    def reopen_log(self) -> None:
        """Go on in a new file of the same name: the kubelet has moved the old one away."""
        old, self.log = self.log, open_log(self.spec.log_path)
        os.close(old)

    def add_output(self, fd: int, stream: int) -> None:
        """Pump `fd` (a pipe, or the master of a terminal) into the log as the given stream."""
        os.set_blocking(fd, False)
        self.outputs[fd] = (stream, logs.LineSplitter("stdout" if stream == STDOUT else "stderr"))
        self.loop.on_readable(fd, functools.partial(self._pump, fd))

    def add_terminal(self, master: int) -> None:
        """Use a terminal for output and input."""
        self.add_output(master, STDOUT)
        self.input = os.dup(master)
        os.set_blocking(self.input, False)

    def _pump(self, fd: int) -> bool:
        """Move one chunk; False when there is nothing to move now."""
        stream, splitter = self.outputs[fd]
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose last user has gone answers EIO
            data = b""
        now = time.time_ns()
        self._write_log(splitter.feed(data, now) if data else splitter.finish(now))
        if not data:
            self.loop.forget(fd)
            os.close(fd)
            del self.outputs[fd]
            return False
        for reader in self.attached:
            reader.write(stream, data)
        self.attached = [reader for reader in self.attached if not reader.closed]
        return True

    def _write_log(self, entries: bytes) -> None:
        # A full disk costs log lines, never the container.
        with contextlib.suppress(OSError):
            while entries:
                entries = entries[os.write(self.log, entries) :]

    # Input

    def attach(self, connection: socket.socket, early: bytes, *, close_stdin: bool) -> None:
        """Connect a client; `early` is input that came with its request."""
        reader = Attached(self.loop, connection)
        self.attached.append(reader)
        self.pending_input += early

        def receive() -> None:
            try:
                data = connection.recv(_CHUNK)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if data:
                self.pending_input += data
            self.loop.forget(connection.fileno())
            if data:
                self._feed(lambda: resume(data))
            elif close_stdin and not self.spec.tty:
                self._feed(self.close_input)

        def resume(_: bytes) -> None:
            if not reader.closed:
                self.loop.on_readable(connection.fileno(), receive)

        self._feed(lambda: resume(early))

    def _feed(self, done: Callable[[], None]) -> None:
        """Write the waiting input, then call `done`: no more is taken from the client meanwhile."""
        if self.input is None:
            self.pending_input.clear()
        while self.pending_input and self.input is not None:
            fd = self.input
            try:
                del self.pending_input[: os.write(fd, self.pending_input)]
            except BlockingIOError:
                with contextlib.suppress(KeyError):  # a second client: the first one's turn feeds both
                    self.loop.on_writable(fd, functools.partial(self._feed_again, fd, done))
                return
            except OSError:
                self.pending_input.clear()
        done()

    def _feed_again(self, fd: int, done: Callable[[], None]) -> None:
        self.loop.forget(fd)
        self._feed(done)

    def close_input(self) -> None:
        """Let the program read an end of file."""
        if self.input is not None:
            self.loop.forget(self.input)
            os.close(self.input)
            self.input = None

    def resize(self, height: int, width: int) -> None:
        """Tell the terminal its size in characters."""
        if self.spec.tty and self.input is not None:
            fcntl.ioctl(self.input, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    # End

    def kill(self, number: int) -> None:
        """Send a signal to the main process, if it still lives."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> None:
        """The main process has ended: record how, empty the pipes, end what it left behind, tell."""
        self.loop.forget(self.pidfd)
        os.close(self.pidfd)
        _, status = os.waitpid(self.pid, 0)
        if self.spec.host_pid or "pid" in self.spec.namespaces:
            kill_by_mount_namespace(self.mount_namespace)
        for fd in list(self.outputs):
            while self._pump(fd):
                pass
            if fd in self.outputs:  # somebody else still holds the other end
                self._write_log(self.outputs[fd][1].finish(time.time_ns()))
                self.loop.forget(fd)
                os.close(fd)
                del self.outputs[fd]
        self.close_input()
        for reader in self.attached:
            reader.finish()
        self.attached.clear()
        os.close(self.log)
        self.exit_code = exit_code(status)
        self.finished_at = time.time_ns()
        self.on_exit()

    def discard(self) -> None:
        """Forget a process that never became the program: its start failed."""
        self.loop.forget(self.pidfd)
        os.close(self.pidfd)
        os.waitpid(self.pid, 0)
        for fd in self.outputs:
            self.loop.forget(fd)
            os.close(fd)
        self.close_input()
        os.close(self.log)


def namespace_inode(pid: int | str, kind: str) -> int:
    """The number of a process's namespace, 0 if the process is gone."""
    try:
        return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino
    except OSError:
        return 0


def kill_by_mount_namespace(inode: int) -> None:
    """End every process of a mount namespace: what a container left in a PID namespace that it shared."""
    if not inode or inode == namespace_inode("self", "mnt"):
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and namespace_inode(entry.name, "mnt") == inode:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
