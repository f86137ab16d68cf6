"""Processes for learners' functions that have already imported the Kubernetes client, which takes most of a second.

One process imports it in the background and forks for each check. It is started for checks that have shown that they
need it (isolated.py), at most once for each process of ours, and ends with it. Forking a notebook's kernel itself would
not do: it has threads.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from labsupport.patience import patient

PROGRAM = Path(__file__).with_name("isolated_template.py")
MODULES = ("kubernetes.client.api.core_v1_api", "kopf")
LIMIT = patient(15.0)  # seconds for an answer; the first one waits for the imports
CHANGING = (
    "PYTEST_CURRENT_TEST"  # an environment variable that says where pytest is, and concerns nobody else
)
ANSWER = 64  # bytes of an answer


class _Gone(Exception):
    """The process that forks does not answer."""


@dataclass
class Process:
    """A forked process, with what isolated.py uses of a subprocess.Popen."""

    pid: int
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]
    template: Template
    returncode: int | None = None

    def wait(self) -> int:
        """Its exit status, negative for a signal, once it has ended. It keeps its id until then."""
        if self.returncode is None:
            try:
                self.returncode = int(self.template.ask(f"wait {self.pid}"))
            except (_Gone, ValueError):
                self.returncode = -9  # what was its parent has gone, and whoever waits has killed it
        return self.returncode


@dataclass
class Template:
    """The process that forks, and what it was started with: where this has changed, it is of no use."""

    setting: tuple[object, ...]
    process: subprocess.Popen[bytes]
    control: socket.socket
    usable: bool = True
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, request: str, files: tuple[int, ...] = ()) -> str:
        """Send a request and return the answer. Errors: _Gone; whatever interrupts, after which it is not usable."""
        with self._lock:
            if not self.usable:
                raise _Gone
            self.usable = (
                False  # unless an answer comes: one that is missed would be taken for the next one's
            )
            try:
                socket.send_fds(self.control, [request.encode()], list(files))
                answer = self.control.recv(ANSWER)
            except OSError as error:
                raise _Gone from error
            if not answer:
                raise _Gone
            self.usable = True
        return answer.decode()

    def close(self) -> None:
        """End it. What it has forked and still runs ends as its input does."""
        self.usable = False
        self.control.close()
        self.process.kill()
        self.process.wait()


_template: Template | None = None


def prepare() -> None:
    """Have a process that forks, and let it import; returns at once."""
    global _template
    if _template is not None and _template.usable and _template.setting == _setting():
        return
    close()
    ours, theirs = socket.socketpair()
    ours.settimeout(LIMIT)
    with theirs:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(PROGRAM), str(theirs.fileno()), ",".join(MODULES)),
                *(each for each in sys.path if each),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
    _template = Template(_setting(), process, ours)


def spawn(dump: int) -> Process | None:
    """A new process, the leader of its group, that does the work of isolated_child.py; `dump` is the descriptor for its
    traceback. None if there is nothing to fork from.
    """
    template = _template
    if template is None or not template.usable or template.setting != _setting():
        return None
    with contextlib.ExitStack() as ends:
        pipes = [os.pipe() for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        ours = [pipes[0][1], pipes[1][0], pipes[2][0]]
        for descriptor in theirs:
            ends.callback(os.close, descriptor)
        files = [os.fdopen(each, mode) for each, mode in zip(ours, ("wb", "rb", "rb"), strict=True)]
        try:
            pid = int(template.ask("fork", (*theirs, dump)))
        except BaseException as error:
            for file in files:
                file.close()
            if isinstance(error, _Gone | ValueError):
                return None
            raise
        return Process(pid, files[0], files[1], files[2], template)


def close() -> None:
    """End the process that forks, if there is one."""
    global _template
    template, _template = _template, None
    if template is not None and template.setting[0] == os.getpid():
        template.close()


def _setting() -> tuple[object, ...]:
    """What a process inherits from this one."""
    try:
        here = str(Path.cwd())
    except OSError:
        here = ""
    environment = {key: value for key, value in os.environ.items() if key != CHANGING}
    return os.getpid(), here, tuple(sys.path), tuple(sorted(environment.items()))


atexit.register(close)
