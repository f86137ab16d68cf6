"""One way to run a child process to its end, and one way to end a child with everything it started.

Each child gets a session of its own (setsid(2)), hence a process group whose id is its pid: one signal to the
group reaches the compiler that `go build` started as well as `go` itself, and a Ctrl-C at the terminal
reaches only us, who then end the group in order.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
KILL_WAIT = 2.0  # seconds after SIGKILL; longer only for a process that waits for a disk
KEPT_LINES = 40  # lines of each stream that an error may quote


@dataclass(frozen=True)
class Finished:
    """How a child ended: its exit status (negative: the signal that ended it) and what it wrote."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0."""
        return self.status == 0

    def reason(self, lines: int = 3) -> str:
        """Why it failed, in one line: the last things it said, or its status."""
        said = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        if self.status < 0:
            said.append(f"ended by {signal.Signals(-self.status).name}")
        return "; ".join(said[-lines:]) or f"exit status {self.status}"


class TimedOut(Exception):
    """A child that did not end in time; it and its group have been ended."""


def start(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdout: int | None = subprocess.PIPE,
    stderr: int | None = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a child in a session and process group of its own, with nothing on its standard input."""
    return subprocess.Popen(
        [os.fspath(word) for word in argv],
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def run(
    argv: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    on_line: Callable[[str], None] | None = None,
    keep: int | None = None,
) -> Finished:
    """Run a child to its end and return what it wrote.

    `on_line` is called with each line of either stream as it comes. `keep` bounds the lines of each stream
    that are kept (None: all). `timeout` is in seconds. Whatever leaves this function early (TimedOut,
    KeyboardInterrupt, a SIGTERM or SIGHUP to us, an error in `on_line`) ends the child's group first. OSError
    when the program cannot be started.
    """
    began = time.monotonic()
    with termination_raised():
        child = start(argv, cwd=cwd, env=env)
        stdout, stderr = _finish(child, began, timeout, on_line, keep)
    words = tuple(os.fspath(word) for word in argv)
    return Finished(words, child.returncode, stdout, stderr, time.monotonic() - began)


def _finish(
    child: subprocess.Popen[bytes],
    began: float,
    timeout: float | None,
    on_line: Callable[[str], None] | None,
    keep: int | None,
) -> tuple[str, str]:
    """Read what a child says and wait for its end; end its group if anything goes wrong here."""
    try:
        stdout, stderr = _read(child, None if timeout is None else began + timeout, on_line, keep)
        remaining = None if timeout is None else max(0.0, began + timeout - time.monotonic())
        try:
            child.wait(remaining)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{child.args!r} did not end within {timeout:.0f} s") from None
    except BaseException:
        end(child)
        raise
    finally:
        for stream in (child.stdout, child.stderr):
            if stream is not None:
                stream.close()
    return stdout, stderr


@contextmanager
def termination_raised() -> Iterator[None]:
    """Let SIGTERM and SIGHUP (a closed terminal) raise SystemExit here, as Ctrl-C raises KeyboardInterrupt.

    Their default action would end us at once, and the child, in a session of its own, would go on for minutes.
    """

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # handlers belong to the main thread
        return
    ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _read(
    child: subprocess.Popen[bytes],
    deadline: float | None,
    on_line: Callable[[str], None] | None,
    keep: int | None,
) -> tuple[str, str]:
    """Read both streams until both are closed."""
    if child.stdout is None or child.stderr is None:
        raise ValueError("both streams must be pipes")
    kept: dict[int, deque[str]] = {}
    partial: dict[int, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for stream in (child.stdout, child.stderr):
            selector.register(stream.fileno(), selectors.EVENT_READ)
            kept[stream.fileno()] = deque(maxlen=keep)
            partial[stream.fileno()] = b""
        while selector.get_map():
            remaining = None if deadline is None else deadline - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise TimedOut(f"{child.args!r} did not end in time")
            for key, _ in selector.select(remaining):
                chunk = os.read(key.fd, 65536)
                if not chunk:
                    selector.unregister(key.fd)
                # Splitting on "\n" alone: a lone "\r" is how progress bars overwrite their line.
                *lines, partial[key.fd] = (partial[key.fd] + chunk).split(b"\n")
                if not chunk and partial[key.fd]:
                    lines, partial[key.fd] = [partial[key.fd]], b""
                for raw in lines:
                    line = raw.decode(errors="replace")
                    kept[key.fd].append(line)
                    if on_line is not None:
                        on_line(line)
    return (
        "\n".join(kept[child.stdout.fileno()]),
        "\n".join(kept[child.stderr.fileno()]),
    )


def end(child: subprocess.Popen[bytes], grace: float = GRACE) -> None:
    """End a child that `start` started and all of its group: SIGTERM, and SIGKILL to what is left after
    `grace` s.
    """
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, KILL_WAIT)):
        _signal_group(child.pid, number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            child.poll()  # reaps the leader; its group lives on while any member does
            if not group_alive(child.pid):
                child.wait()
                return
            time.sleep(0.01)  # the kernel has no event for "this group is empty"
    child.wait()


def group_alive(group: int) -> bool:
    """Whether any process of a group runs.

    Dead ones that nobody has reaped yet do not count: kill(2) finds them too, and where pid 1 reaps late or never, as
    in many containers, that would be a wait for nothing.
    """
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # proc_pid_stat(5): pid (name) state parent group ...; a name may hold spaces and parentheses
                state, _, its_group = (entry / "stat").read_text().rpartition(") ")[2].split()[:3]
            except (OSError, ValueError):
                continue  # gone in the meantime
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return
