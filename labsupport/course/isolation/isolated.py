"""A gathered function run in a process of its own, so that nothing it does can hurt the notebook.

An endless loop, a sleep, a read that never ends, a bare `except:` that swallows everything: the process is killed with
all that it started, at the latest when its time is over. No thread of the kernel is used, and none is left.
"""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import re
import selectors
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from labsupport.course.isolation import warm
from labsupport.course.source import FILE, Gathered, Origin, Unportable, gather, importable
from labsupport.patience import patient

CHILD = Path(__file__).with_name("isolated_child.py")
HARNESS = "<harness>"
LOAD_LIMIT = patient(10.0)  # seconds for imports and for what runs while the function's cell is defined
# Seconds that the process gets to tell its line before it is killed: its turn comes late on a busy machine.
GRACE = patient(2.0)
OUTPUT = 16_384  # characters kept of what the function prints


class CheckFault(Exception):
    """The check itself is wrong, not the learner: its harness raised, or cannot be sent."""


@dataclass(frozen=True)
class Returned:
    """The function returned; `value` is a copy of what it returned."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """The function raised: the exception's class name, its text, and the learner's line where that is known."""

    kind: str
    message: str
    line: Origin | None = None

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind


@dataclass(frozen=True)
class Endless:
    """The function had not returned after `seconds`; `line` is where it was then."""

    seconds: float
    line: Origin | None = None


@dataclass(frozen=True)
class Strange:
    """The function returned something that is no value: a generator, a connection, or far too much."""

    what: str


Answer = Returned | Raised | Endless | Strange


class _Pickler(pickle.Pickler):
    """Classes and functions of the notebook, or of the check, go by name: the other side has its own."""

    def __init__(self, file: io.BytesIO, rooms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(file)
        self.rooms = rooms
        self.named: dict[str, set[str]] = {room: set() for room in rooms}

    def persistent_id(self, obj: Any) -> tuple[str, str] | None:
        if not isinstance(obj, type | FunctionType):
            return None
        name = str(obj.__name__)
        for room, names in self.rooms.items():
            if names.get(name) is obj and importable(obj, name) is None and obj.__module__ != "builtins":
                self.named[room].add(name)
                return room, name
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, rooms: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(file)
        self.rooms = rooms

    def persistent_load(self, pid: tuple[str, str]) -> Any:
        first, *rest = pid[1].split(".")
        found = self.rooms[pid[0]][first]
        for part in rest:
            found = getattr(found, part)
        return found


class Isolated:
    """One process for one function; it starts with the first call and ends with `close`.

    State that the function keeps in global names lives on between calls, as in a notebook. `names` is the notebook's
    namespace; classes in arguments and results are looked up there, or among those of the harness's module.
    Errors: Unportable if the function cannot leave the notebook; CheckFault if the harness cannot.
    """

    def __init__(self, function: Any, names: Mapping[str, Any], harness: FunctionType | None = None) -> None:
        self.rooms = {"learner": names, "harness": harness.__globals__ if harness else {}}
        self.output = ""
        self._functions = {"learner": function} | ({"harness": harness} if harness else {})
        self._carried: dict[str, set[str]] = {room: set() for room in self.rooms}
        self.texts = {room: self._gather(room) for room in self._functions}
        self._process: subprocess.Popen[bytes] | warm.Process | None = None
        self._dump = -1
        self._slow = False

    def call(self, arguments: tuple[Any, ...], limit: float) -> Answer:
        """Call the function with copies of `arguments`; `limit` is in seconds."""
        return self._ask("call", arguments, limit)

    def drive(self, arguments: tuple[Any, ...], limit: float) -> Answer:
        """Call the harness with the function and copies of `arguments`. Errors: CheckFault if the harness fails."""
        return self._ask("drive", arguments, limit)

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own, and is not reaped yet
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._dump >= 0:
            os.close(self._dump)
            self._dump = -1
        if self._slow:
            warm.prepare()  # for the next one

    def _ask(self, do: str, arguments: tuple[Any, ...], limit: float) -> Answer:
        self.output = ""
        buffer = io.BytesIO()
        pickler = _Pickler(buffer, self.rooms)
        try:
            pickler.dump(arguments)
        except Exception as error:
            raise CheckFault(f"an argument cannot be sent to another process: {error}") from error
        self._carry(pickler.named)
        if self._process is None and (failed := self._start()) is not None:
            return failed
        request = {"do": do, "arguments": buffer.getvalue()}
        request |= {room: gathered.entry for room, gathered in self.texts.items()}
        return self._exchange(request, limit)

    def _gather(self, room: str) -> Gathered:
        try:
            return gather(self._functions[room], self.rooms[room], self._carried[room])
        except Unportable as error:
            if room == "harness":
                raise CheckFault(f"the harness cannot be sent: {error.what}") from error
            raise

    def _carry(self, named: Mapping[str, set[str]]) -> None:
        """See to it that the other side has the classes that the arguments are of; it is started anew if it has not."""
        for room, needed in named.items():
            if room in self.texts and not needed <= self._carried[room]:
                self._carried[room] |= needed
                self.texts[room] = self._gather(room)
                self.close()

    def _start(self) -> Answer | None:
        """Start the process and load the texts; an Answer if that failed."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._dump = reader
        try:
            self._process = warm.spawn(writer) or subprocess.Popen(
                [sys.executable, "-I", "-S", str(CHILD), str(writer), *(path for path in sys.path if path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(writer,),
                start_new_session=True,
                env={**os.environ, "PYTHONHASHSEED": "0"},
            )
        finally:
            os.close(writer)
        for room, gathered in self.texts.items():
            answer = self._exchange({"do": "load", "room": room, "text": gathered.text}, LOAD_LIMIT)
            if answer != Returned(None):
                self.close()
                return answer
        return None

    def _exchange(self, request: dict[str, Any], limit: float) -> Answer:
        """Send a request and read its answer; the process is ended if none comes in time, or on an interrupt."""
        process = self._process
        assert process is not None and process.stdin is not None  # noqa: S101, PT018 (for the type checker)
        content = pickle.dumps({**request, "limit": limit})
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended; what it left tells why
                process.stdin.write(struct.pack("!I", len(content)) + content)
                process.stdin.flush()
            deadline = time.monotonic() + limit + GRACE
            frame = self._read(deadline)
        except BaseException:
            self.close()
            raise
        if frame is None:
            return self._ended(limit, deadline)
        answer = pickle.loads(frame)
        self._slow = self._slow or answer.get("slow", False)
        return self._decode(answer)

    def _read(self, deadline: float) -> bytes | None:
        """One frame, or None if the process ended or the time is over; what is printed meanwhile is kept."""
        process = self._process
        assert process is not None and process.stdout is not None and process.stderr is not None  # noqa: S101, PT018
        received = b""
        with selectors.DefaultSelector() as selector:
            for pipe in (process.stdout, process.stderr):
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe.fileno(), selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    try:
                        chunk = os.read(key.fd, 1 << 16)
                    except BlockingIOError:
                        continue
                    if key.fd == process.stderr.fileno():
                        if not chunk:
                            selector.unregister(key.fd)
                        self._keep(chunk)
                        continue
                    if not chunk:
                        return None
                    received += chunk
                if len(received) >= 4 and len(received) - 4 >= (size := struct.unpack("!I", received[:4])[0]):
                    with contextlib.suppress(BlockingIOError):
                        while chunk := os.read(process.stderr.fileno(), 1 << 16):
                            self._keep(chunk)
                    return received[4 : 4 + size]
        return None

    def _keep(self, chunk: bytes) -> None:
        if len(self.output) < OUTPUT:
            self.output = (self.output + chunk.decode(errors="replace"))[:OUTPUT]

    def _decode(self, answer: dict[str, Any]) -> Answer:
        match answer["is"]:
            case "loaded":
                return Returned(None)
            case "returned":
                return self._value(answer["result"])
            case "strange":
                return Strange(f"a {answer['type']}, which is no value that can be looked at")
            case "large":
                return Strange(f"{answer['size'] >> 20} MB of data")
        learners = [line for file, line in answer["frames"] if file == FILE]
        if not learners and any(file == HARNESS for file, _ in answer["frames"]):
            where = next(line for file, line in reversed(answer["frames"]) if file == HARNESS)
            line = self.texts["harness"].origin(where)
            raise CheckFault(f"the harness raised {answer['kind']}: {answer['message']} ({line})")
        return Raised(answer["kind"], answer["message"], self._line(learners[-1:]))

    def _line(self, numbers: list[int]) -> Origin | None:
        return self.texts["learner"].origin(numbers[0]) if numbers else None

    def _value(self, result: bytes) -> Answer:
        try:
            return Returned(_Unpickler(io.BytesIO(result), self.rooms).load())
        except Exception as error:
            return Strange(f"something that cannot be copied ({error})")

    def _ended(self, limit: float, deadline: float) -> Answer:
        """The process said nothing more: the watchdog's traceback tells a time-out from a sudden end."""
        process = self._process
        assert process is not None  # noqa: S101 (for the type checker)
        try:
            told = os.read(self._dump, 1 << 16).decode(errors="replace")
        except OSError:
            told = ""
        late = "Timeout" in told or time.monotonic() > deadline
        self.close()  # a status that it has already is not changed by the kill
        code = process.wait()  # no wait: it has ended
        lines = [int(number) for number in re.findall(rf'File "{re.escape(FILE)}", line (\d+)', told)]
        if late:
            if not lines and HARNESS in told:
                raise CheckFault(f"the harness had not returned after {limit:g} s")
            # The innermost frame comes first. A thread that the function started comes before the function itself.
            return Endless(limit, self._line(lines))
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        return Raised("SystemExit", f"its process ended suddenly ({how})")
