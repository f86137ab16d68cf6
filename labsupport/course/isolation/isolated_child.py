"""The other side of isolated.py: a program that runs a learner's function, one request after another, until its input
ends or it is killed.

It is run by path with `python -I -S` and imports the standard library only, to start in a few hundredths of a second.
Requests and answers are frames: four bytes of length, then a pickle. What the function prints goes to file descriptor
2, since descriptors 0 and 1 carry the frames and are moved out of its sight.
"""

from __future__ import annotations

import faulthandler
import io
import linecache
import os
import pickle
import resource
import struct
import sys
from types import FunctionType, ModuleType
from typing import Any

MEMORY = (
    2 << 30
)  # bytes of address space: an endless list ends in a MemoryError, not in a machine without memory
SLOW = "kubernetes.client"  # a module whose import takes so long that the next process should have it already
LARGEST = 16 << 20  # bytes of an answer
MESSAGE = 600  # characters of an exception's text
ROOMS = (
    "learner",
    "harness",
)  # the modules that requests bring; their files in tracebacks are <learner>, <harness>


class _Pickler(pickle.Pickler):
    """Classes and functions of the brought modules go by name: the notebook has its own of that name."""

    def persistent_id(self, obj: Any) -> tuple[str, str] | None:
        if isinstance(obj, type | FunctionType) and obj.__module__ in ROOMS and "<" not in obj.__qualname__:
            return obj.__module__, obj.__qualname__
        return None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: tuple[str, str]) -> Any:
        found: Any = sys.modules[pid[0]]
        for part in pid[1].split("."):
            found = getattr(found, part)
        return found


def main(path: list[str], dump: int) -> None:
    """Serve requests. `path` is the caller's sys.path, `dump` the descriptor for the traceback of a call that
    does not end.
    """
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdin, sys.stdout = open(0), open(1, "w", buffering=1)  # noqa: SIM115 (they are this process's own)
    sys.path[:] = path
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while head := requests.read(4):
        request = pickle.loads(requests.read(struct.unpack("!I", head)[0]))
        # The interpreter's own watchdog tells the line even from within a sleep, and ends this process also when the
        # caller has died meanwhile.
        faulthandler.dump_traceback_later(request["limit"], exit=True, file=dump)
        told = _answer(request)
        told["slow"] = SLOW in sys.modules
        answer = pickle.dumps(told)
        faulthandler.cancel_dump_traceback_later()
        sys.stdout.flush()
        answers.write(struct.pack("!I", len(answer)) + answer)
        answers.flush()


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        if request["do"] == "load":
            _load(request["room"], request["text"])
            return {"is": "loaded"}
        arguments = _Unpickler(io.BytesIO(request["arguments"])).load()
        function = getattr(sys.modules["learner"], request["learner"])
        if request["do"] == "drive":
            harness = getattr(sys.modules["harness"], request["harness"])
            result = harness(function, *arguments)
        else:
            result = function(*arguments)
    except BaseException as error:
        return _raised(error)
    return _returned(result)


def _load(room: str, text: str) -> None:
    file = f"<{room}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = ModuleType(room)
    sys.modules[room] = module
    exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 (what this program is for)


def _raised(error: BaseException) -> dict[str, Any]:
    frames = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append((traceback.tb_frame.f_code.co_filename, traceback.tb_lineno))
        traceback = traceback.tb_next
    try:
        message = str(error)
    except BaseException:
        message = "(its message cannot be shown)"
    return {
        "is": "raised",
        "kind": type(error).__name__,
        "message": message[:MESSAGE],
        "frames": frames[-200:],
    }


def _returned(result: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    try:
        _Pickler(buffer).dump(result)
    except Exception:  # a generator, a lock, a client: nothing that can be looked at elsewhere
        return {"is": "strange", "type": type(result).__name__}
    if buffer.tell() > LARGEST:
        return {"is": "large", "size": buffer.tell()}
    return {"is": "returned", "result": buffer.getvalue()}


if __name__ == "__main__":
    main(sys.argv[2:], int(sys.argv[1]))
