"""The learner's function inside a Pod: loaded from the ConfigMap that `lab.deploy` made, its failures told.

A host is a small program for one kind of function (README.md). It begins with `load()`, and calls what it gets. What
goes wrong in the learner's code is written as one JSON record a line on stdout, with the learner's own line, so that
the notebook, a check, and `kubectl logs` see the same.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, NoReturn

DIRECTORY = Path("/labs")  # where the manifests in clusters/manifests/hosts mount the ConfigMap
READY = Path("/tmp/ready")  # noqa: S108 (a container's own /tmp) their readiness probes look for it
TERMINATION_LOG = Path("/dev/termination-log")  # what the kubelet shows as the reason of a container's end
FILE = "<learner>"
MARK = "learner"  # the value of "labs" in a record
SHOWN = 300  # characters of an input or a message


@dataclass(frozen=True)
class Failure:
    """What went wrong in the learner's code, and for which input. `line` and `text` are the learner's own line in
    `cell`; 0 and empty where no line of theirs is known.
    """

    kind: str
    message: str
    cell: str = ""
    line: int = 0
    text: str = ""
    input: str = ""
    at: str = ""

    def record(self) -> str:
        """One line of JSON."""
        return json.dumps({"labs": MARK, **asdict(self)})


class Learner:
    """The learner's function, called as itself; `settings` are those of `lab.deploy`."""

    def __init__(self, directory: Path) -> None:
        """Read and run the source in `directory`. Errors: whatever the learner's code raises meanwhile."""
        description = json.loads((directory / "learner.json").read_text())
        self.name: str = description["entry"]
        self.settings: dict[str, Any] = json.loads((directory / "settings.json").read_text())
        self.origins: list[list[Any] | None] = description["origins"]
        text = (directory / "learner.py").read_text()
        linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
        module = ModuleType(MARK)
        sys.modules[MARK] = module
        exec(compile(text, FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what this program is for)
        self.function: Callable[..., Any] = getattr(module, self.name)

    def __call__(self, *arguments: Any, about: str = "", limit: float = 0.0) -> Any:
        """Call the function. What it raises is recorded, with `about` as the input, and raised again.

        With `limit`, a call that takes longer (in seconds) is recorded too, with the line where it is; it goes on, as
        nothing can end it but the end of the Pod.
        """
        with self.guard(about or ", ".join(map(repr, arguments)), limit):
            return self.function(*arguments)

    @contextlib.contextmanager
    def guard(self, about: str, limit: float = 0.0) -> Iterator[None]:
        """Record what the learner's code raises in this block, or that it takes longer than `limit` seconds."""
        watch = threading.Timer(limit, self._late, (threading.get_ident(), about, limit)) if limit else None
        if watch:
            watch.daemon = True
            watch.start()
        try:
            yield
        except Exception as error:
            tell(self.failure(error, about))
            raise
        finally:
            if watch:
                watch.cancel()

    def failure(self, error: BaseException, about: str = "") -> Failure:
        """An exception as a record: its last line that is the learner's."""
        lines = []
        traceback = error.__traceback__
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == FILE:
                lines.append(traceback.tb_lineno)
            traceback = traceback.tb_next
        message = getattr(error, "what", "") or _refusal(error) or str(error)
        return self._made(type(error).__name__, message, lines[-1:], about)

    def _late(self, thread: int, about: str, limit: float) -> None:
        lines = []
        frame: FrameType | None = sys._current_frames().get(thread)
        while frame is not None:
            if frame.f_code.co_filename == FILE:
                lines.append(frame.f_lineno)
            frame = frame.f_back
        tell(self._made("Endless", f"{self.name} had not returned after {limit:g} s", lines[:1], about))

    def _made(self, kind: str, message: str, lines: list[int], about: str) -> Failure:
        origin = self.origins[lines[0] - 1] if lines and lines[0] <= len(self.origins) else None
        cell, line, text = origin or ("", 0, "")
        return Failure(
            kind, _short(message), cell, line, text.strip(), _short(about), datetime.now(UTC).isoformat()
        )


def load(directory: Path | None = None) -> Learner:
    """The learner's function. If its source cannot even be run, that is recorded, in the Pod's status too, and this
    process ends.
    """
    signal.signal(signal.SIGTERM, _stop)
    learner = Learner.__new__(Learner)
    try:
        learner.__init__(directory or Path(os.environ.get("LABS_LEARNER_DIRECTORY", DIRECTORY)))  # type: ignore[misc]
    except BaseException as error:
        fail(learner.failure(error, "its cells, when they are run in the Pod"))
    return learner


def ready() -> None:
    """Say that the host works from now on: the readiness probe looks for this file."""
    READY.touch()


def tell(failure: Failure) -> None:
    """Write a record."""
    print(failure.record(), flush=True)


def fail(failure: Failure) -> NoReturn:
    """Write a record, into the Pod's status too, and end this process."""
    tell(failure)
    with contextlib.suppress(OSError):
        TERMINATION_LOG.write_text(failure.record())
    sys.stdout.flush()
    os._exit(1)


def every(seconds: float) -> Iterator[int]:
    """0, 1, 2, ... with a pause after each: the pace of hosts that look again and again."""
    number = 0
    while True:
        yield number
        number += 1
        time.sleep(seconds)


def _stop(signal_number: int, frame: FrameType | None) -> None:
    """End at once: process 1 of a container has no default action for SIGTERM and would wait out its grace period."""
    os._exit(0)


def _refusal(error: BaseException) -> str:
    """The API server's own words in an exception of the official client, whose text is a page of headers."""
    body = getattr(error, "body", None)
    try:
        message = json.loads(body)["message"] if body else ""
    except (ValueError, KeyError, TypeError):
        return ""
    return f"{getattr(error, 'status', '')} {message}".strip()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else line[: SHOWN - 3] + "..."
