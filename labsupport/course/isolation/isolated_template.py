"""A process that has imported what takes long, and forks: the other side of warm.py.

It is run by path with `python -I -S`, like isolated_child.py, whose work each fork of it does. Requests come over a
Unix socket: `fork`, with the four file descriptors of the new process (0, 1, 2, and the one for a traceback), is
answered with its id; `wait` and an id with its exit status. It ends with its caller, whose end closes the socket.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import socket
import sys
import traceback
from pathlib import Path
from types import ModuleType

LONGEST = 64  # bytes of a request


def main(descriptor: int, modules: list[str], path: list[str]) -> None:
    """Import `modules`, found along `path`, and serve requests."""
    control = socket.socket(fileno=descriptor)
    child = _child()
    sys.path[:] = path
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy the pages of all that has been imported
    while True:
        message, files, _, _ = socket.recv_fds(control, LONGEST, 4)
        match message.decode().split():
            case ["fork"]:
                process = os.fork()
                if process == 0:
                    control.close()
                    _work(child, path, files)
                # On both sides, so that the group is there whoever comes first.
                os.setpgid(process, process)
                for file in files:
                    os.close(file)
                control.sendall(str(process).encode())
            case ["wait", process_id]:
                _, status = os.waitpid(int(process_id), 0)
                control.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            case _:
                return


def _child() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "isolated_child", Path(__file__).with_name("isolated_child.py")
    )
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 (for the type checker)
    child = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(child)
    return child


def _work(child: ModuleType, path: list[str], files: list[int]) -> None:
    """Be the process that was asked for; never returns."""
    status = 1
    try:
        os.setpgid(0, 0)
        *standard, dump = files
        for number, file in enumerate(standard):
            os.dup2(file, number)
            os.close(file)
        child.main(path, dump)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:])
