"""Running a command in a container, attaching to it, and reaching a port of a Pod: what the streams carry."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import grpc

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import spec
from labsupport.cluster.embedded.runtime.containers import get_running
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import Fault, failed
from labsupport.cluster.embedded.runtime.shim_client import Exec, ShimError
from labsupport.cluster.embedded.runtime.shim_container import FRAME, STDOUT
from labsupport.cluster.embedded.runtime.state import Runtime

OUTPUT_LIMIT = 16 << 20  # bytes of each stream that ExecSync returns, as other runtimes
CANNOT_RUN = 126
_CHUNK = 1 << 16
_DRAIN = 1.0  # seconds for output after the end, if a process left behind holds the pipe


class Channel(Protocol):
    """A stream of either protocol."""

    def read(self) -> bytes:
        """Wait for data, b"" at the end."""

    def write(self, data: bytes) -> None:
        """Send data."""

    def finish(self) -> None:
        """No more data from us."""


class Session(Protocol):
    """A connection of either protocol."""

    def wait_end(self, timeout: float | None = None) -> bool:
        """Wait until the peer is gone."""


def sync(runtime: Runtime, request: cri.ExecSyncRequest) -> cri.ExecSyncResponse:
    """ExecSync: run a command to its end, at most `timeout` seconds (0: no limit), and return its output."""
    container = get_running(runtime, request.container_id)
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        wanted = spec.ExecSpec(container.id, tuple(request.cmd))
        process = runtime.shim.exec(wanted, [null, out_write, err_write])
    finally:
        for fd in (null, out_write, err_write):
            os.close(fd)
    try:
        deadline = time.monotonic() + request.timeout if request.timeout else None
        output = collect(process, (out_read, err_read), deadline)
        return cri.ExecSyncResponse(stdout=output[0], stderr=output[1], exit_code=process.wait())
    except TimeoutError as error:
        message = f"command {list(request.cmd)} timed out after {request.timeout} s"
        raise Fault(grpc.StatusCode.DEADLINE_EXCEEDED, message) from error
    except ShimError as error:
        raise failed(f"failed to exec in container: {error}") from error
    finally:
        process.close()
        os.close(out_read)
        os.close(err_read)


def collect(process: Exec, pipes: tuple[int, int], deadline: float | None) -> list[bytes]:
    """Read both pipes until the command has ended and they are empty; raises TimeoutError."""
    output = {fd: bytearray() for fd in pipes}
    with selectors.DefaultSelector() as selector:
        for fd in (*pipes, process.fileno()):
            selector.register(fd, selectors.EVENT_READ)
        ended = False
        while selector.get_map():
            # After the end only what is already in the pipes counts: a process left behind may hold them open.
            timeout = 0 if ended else None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = [key.fd for key, _ in selector.select(timeout)]
            if not ready:
                if ended:
                    break
                raise TimeoutError
            for fd in ready:
                data = b"" if fd == process.fileno() else os.read(fd, _CHUNK)
                if fd == process.fileno():
                    ended = True
                else:
                    output[fd] += data[: max(0, OUTPUT_LIMIT - len(output[fd]))]
                if not data:
                    selector.unregister(fd)
    return [bytes(output[fd]) for fd in pipes]


def stream_exec(
    runtime: Runtime, request: cri.ExecRequest, channels: Mapping[str, Channel], session: Session
) -> tuple[int, str]:
    """Run a command with its streams on channels; returns (exit code, message if it could not run).

    When the client goes away the command is killed.
    """
    if request.tty:
        process, pumps = _exec_tty(runtime, request, channels)
    else:
        process, pumps = _exec_pipes(runtime, request, channels)

    def hang_up() -> None:
        session.wait_end()
        with contextlib.suppress(OSError):
            process.connection.shutdown(socket.SHUT_RDWR)

    background(hang_up)
    try:
        code = process.wait()
        message = ""
    except ShimError as error:
        code, message = CANNOT_RUN, str(error)
    for pump in pumps:
        pump.join(_DRAIN)
    process.close()
    return code, message


def _exec_tty(
    runtime: Runtime, request: cri.ExecRequest, channels: Mapping[str, Channel]
) -> tuple[Exec, list[threading.Thread]]:
    process = runtime.shim.exec(spec.ExecSpec(request.container_id, tuple(request.cmd), tty=True), [])
    try:
        master = process.terminal()
    except ShimError:
        return process, []  # its result says why
    reader = os.dup(master)
    writer = os.dup(master)
    pump = background(lambda: copy_out(reader, channels.get("stdout")))
    if "stdin" in channels:
        background(lambda: copy_in(channels["stdin"], writer))
    if "resize" in channels:
        background(lambda: resize_from(channels["resize"], lambda h, w: set_size(master, h, w)))
    return process, [pump]


def _exec_pipes(
    runtime: Runtime, request: cri.ExecRequest, channels: Mapping[str, Channel]
) -> tuple[Exec, list[threading.Thread]]:
    if request.stdin:
        in_read, in_write = os.pipe()
    else:
        in_read, in_write = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), -1
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    try:
        wanted = spec.ExecSpec(request.container_id, tuple(request.cmd))
        process = runtime.shim.exec(wanted, [in_read, out_write, err_write])
    finally:
        for fd in (in_read, out_write, err_write):
            os.close(fd)
    pumps = [
        background(lambda: copy_out(out_read, channels.get("stdout"))),
        background(lambda: copy_out(err_read, channels.get("stderr"))),
    ]
    if in_write >= 0:
        background(lambda: copy_in(channels["stdin"], in_write))
    return process, pumps


def background(run: Callable[[], None]) -> threading.Thread:
    """Start a thread that does not keep the server alive."""
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def copy_out(fd: int, channel: Channel | None) -> None:
    """From a descriptor to a channel until its end; without a channel the data is thrown away. Closes `fd`."""
    try:
        while data := os.read(fd, _CHUNK):
            if channel is not None:
                channel.write(data)
    except OSError:
        return  # the last user of a terminal has gone, or the client
    finally:
        os.close(fd)


def copy_in(channel: Channel, fd: int) -> None:
    """From a channel to a descriptor until its end. Closes `fd`, so that a program sees the end of its input."""
    try:
        while data := channel.read():
            while data:
                data = data[os.write(fd, data) :]
    except OSError:
        return  # the program does not read any more
    finally:
        os.close(fd)


def resize_from(channel: Channel, apply: Callable[[int, int], None]) -> None:
    """Apply the terminal sizes that come on the resize channel, JSON objects one after another."""
    decoder = json.JSONDecoder()
    text = ""
    while data := channel.read():
        text += data.decode(errors="replace")
        while text := text.lstrip():
            try:
                size, end = decoder.raw_decode(text)
            except ValueError:
                break  # the rest of it is still to come
            text = text[end:]
            with contextlib.suppress(OSError, ShimError, KeyError, TypeError, struct.error):
                apply(int(size["Height"]), int(size["Width"]))


def set_size(terminal: int, height: int, width: int) -> None:
    """Set a terminal's size in characters."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def stream_attach(
    runtime: Runtime, request: cri.AttachRequest, channels: Mapping[str, Channel], session: Session
) -> tuple[int, str]:
    """Connect channels with a container's main process until it ends or the client goes away."""
    container = get_running(runtime, request.container_id)
    connection = runtime.shim.attach(container.id, close_stdin=container.config.stdin_once)

    def up() -> None:
        with contextlib.suppress(OSError):
            while data := channels["stdin"].read():
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

    def hang_up() -> None:
        session.wait_end()
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    def resize(height: int, width: int) -> None:
        runtime.shim.call("resize", id=container.id, height=height, width=width)

    if "stdin" in channels:
        background(up)
    if "resize" in channels:
        background(lambda: resize_from(channels["resize"], resize))
    background(hang_up)
    with contextlib.suppress(OSError), connection.makefile("rb") as frames:
        while header := frames.read(FRAME.size):
            number, length = FRAME.unpack(header)
            channel = channels.get("stdout" if number == STDOUT else "stderr")
            data = frames.read(length)
            if channel is not None:
                channel.write(data)
    connection.close()
    container.ended.wait(_DRAIN)
    return (container.exit_code if container.ended.is_set() else 0), ""


def forward(runtime: Runtime, sandbox_id: str, port: int, data: Channel, error: Channel) -> None:
    """Carry one connection to a port of a Pod. Must run in a thread of its own, which it moves to the Pod."""
    sandbox = runtime.sandboxes.get(sandbox_id)
    try:
        if sandbox is None or not sandbox.ready:
            raise OSError("the Pod's sandbox is not ready")
        if not sandbox.host_network:
            linux.join_namespace(runtime.config.network_namespace(sandbox_id), linux.CLONE_NEWNET)
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    except OSError as problem:
        with contextlib.suppress(OSError):
            error.write(f"failed to connect to port {port} in the Pod: {problem}".encode())
            error.finish()
            data.finish()
        return
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def up() -> None:
        with contextlib.suppress(OSError):
            while received := data.read():
                connection.sendall(received)
            connection.shutdown(socket.SHUT_WR)

    background(up)
    with contextlib.suppress(OSError):
        while received := connection.recv(_CHUNK):
            data.write(received)
    connection.close()
    with contextlib.suppress(OSError):
        error.finish()
        data.finish()
