"""A container's output, input and end with real processes, but without namespaces."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labsupport.cluster.embedded.runtime import spec
from labsupport.cluster.embedded.runtime.loop import Forker, Loop, exit_code, receive_fds
from labsupport.cluster.embedded.runtime.shim_container import FRAME, RunningContainer, Streams

Start = Callable[..., RunningContainer]


def container_spec(log: Path, *, stdin: bool = False) -> spec.ContainerSpec:
    return spec.ContainerSpec(
        id="c",
        argv=("sh",),
        env={},
        cwd="/",
        root=spec.Root("/l", "/u", "/s"),
        privileges=spec.Privileges(),
        stdin=stdin,
        log_path=str(log),
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Run a shell script as a "container"; its loop runs in a thread until the container has ended."""
    started: list[RunningContainer] = []

    def run(script: str, *, stdin: bool = False) -> RunningContainer:
        loop = Loop()
        streams = Streams.open(
            container_spec(tmp_path / "log" / "0.log", stdin=stdin), contextlib.ExitStack().pop_all()
        )

        def body(_: socket.socket) -> None:
            for number, fd in enumerate(streams.child_ends):
                os.dup2(fd, number)
            os.execv("/bin/sh", ["sh", "-c", script])

        pid, status = Forker().fork(body)
        status.close()
        for fd in streams.child_ends:
            os.close(fd)
        ended = threading.Event()
        wanted = container_spec(tmp_path / "log" / "0.log", stdin=stdin)
        container = RunningContainer(loop, wanted, pid, streams, ended.set)
        loop.on_readable(container.pidfd, container.reap)
        container.ended_event = ended  # type: ignore[attr-defined]
        threading.Thread(target=loop.run, daemon=True).start()
        started.append(container)
        return container

    yield run
    for container in started:
        container.kill(signal.SIGKILL)


def wait(container: RunningContainer) -> int:
    assert container.ended_event.wait(10)  # type: ignore[attr-defined]
    assert container.exit_code is not None
    return container.exit_code


def log_lines(tmp_path: Path) -> list[str]:
    text = (tmp_path / "log" / "0.log").read_text()
    return sorted(line.split(" ", 1)[1] for line in text.splitlines())


def test_output_and_exit_code(start: Start, tmp_path: Path) -> None:
    assert wait(start("echo out; echo err >&2; printf end; exit 3")) == 3
    assert log_lines(tmp_path) == ["stderr F err", "stdout F out", "stdout P end"]


def test_signal_becomes_128_and_its_number(start: Start) -> None:
    container = start("kill -TERM $$")
    assert wait(container) == 128 + signal.SIGTERM
    assert container.finished_at > 0


def test_all_output_is_in_the_log_at_the_end(start: Start, tmp_path: Path) -> None:
    wait(start("i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done"))
    assert len(log_lines(tmp_path)) == 3000


def test_attached_client_sees_output_and_feeds_input(start: Start) -> None:
    container = start("read line; echo got $line; echo oops >&2; exit 5", stdin=True)
    ours, theirs = socket.socketpair()
    ours.settimeout(10)
    container.attach(theirs, b"hel", close_stdin=True)
    ours.sendall(b"lo\n")
    with ours.makefile("rb") as frames:
        seen: dict[int, bytes] = {}
        while header := frames.read(FRAME.size):
            stream, length = FRAME.unpack(header)
            seen[stream] = seen.get(stream, b"") + frames.read(length)
    assert seen == {1: b"got hello\n", 2: b"oops\n"}
    assert wait(container) == 5


def test_large_input_waits_for_the_program(start: Start, tmp_path: Path) -> None:
    container = start("sleep 0.2; wc -c", stdin=True)
    ours, theirs = socket.socketpair()
    container.attach(theirs, b"", close_stdin=True)
    ours.sendall(b"x" * 3_000_000)
    ours.shutdown(socket.SHUT_WR)
    assert wait(container) == 0
    assert log_lines(tmp_path) == ["stdout F 3000000"]


def test_log_goes_on_in_a_new_file(start: Start, tmp_path: Path) -> None:
    container = start("echo one; read line; echo two", stdin=True)
    log = tmp_path / "log" / "0.log"
    deadline = time.monotonic() + 10
    while not log.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    log.rename(tmp_path / "rotated")
    container.reopen_log()
    ours, theirs = socket.socketpair()
    container.attach(theirs, b"go\n", close_stdin=True)
    wait(container)
    ours.close()
    assert (tmp_path / "rotated").read_text().endswith("stdout F one\n")
    assert log_lines(tmp_path) == ["stdout F two"]


def test_failed_child_reports_its_reason() -> None:
    def body(_: socket.socket) -> None:
        raise OSError(13, "mount /proc: Permission denied")

    pid, status = Forker().fork(body)
    with status, selectors.DefaultSelector() as selector:
        selector.register(status, selectors.EVENT_READ)
        assert selector.select(10)
        message = status.recv(4096)
    assert message.startswith(b"E")
    assert b"mount /proc: Permission denied" in message
    _, wait_status = os.waitpid(pid, 0)
    assert exit_code(wait_status) == 127


def test_received_descriptors_are_not_for_containers() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(os.devnull) as file:
        socket.send_fds(theirs, [b"T"], [file.fileno()])
        data, fds = receive_fds(ours, 10, 1)
    assert data == b"T"
    assert not os.get_inheritable(fds[0])
    os.close(fds[0])
