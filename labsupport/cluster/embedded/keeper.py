"""Starting a node's first process: a keeper goes into the namespaces, forks pid 1 there and waits for it.

Between launcher and node stands one such process for each node, since who enters a new pid namespace is not in it
himself. It ends with the launcher, and pid 1 ends with it (parent death signals). Standard library only.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport.cluster.embedded import linux, noderoot
from labsupport.cluster.embedded.idmap import IdMap

NODE_COMMAND = ("/usr/bin/python3", "-s", "-m", "labsupport.cluster.embedded.node")
NODE_ENVIRONMENT = {"PYTHONPATH": "/opt/labs/lib", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class NotPossible(Exception):
    """The host refused something that the node needs."""


@dataclass(frozen=True)
class Kept:
    """The pids, on the host, of a node's keeper and of its pid 1; the keeper ends with pid 1's exit status."""

    keeper: int
    init: int


def process_identity(pid: int) -> dict[str, Any]:
    """What tells this process from a later one with the same number: its start time and the boot it belongs to."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {
        "pid": pid,
        "start_ticks": int(fields[19]),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }


def start(id_map: IdMap, enter: Callable[[Callable[[], None]], None]) -> Kept:
    """Start a node. `enter` runs in the keeper, which it takes into the node's namespaces (noderoot.py).

    It is given a function that asks this process to write the keeper's map of ids. Raises NotPossible.
    """
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    launcher = os.getpid()
    keeper = os.fork()
    if keeper == 0:
        _forget_the_launcher(keep=(to_parent, from_parent))
        _keep(enter, launcher, to_parent, from_parent)
    os.close(to_parent)
    os.close(from_parent)
    init = 0
    try:
        with os.fdopen(from_child, "r") as messages:
            for line in messages:
                word, _, rest = line.rstrip("\n").partition(" ")
                if word == "MAP":
                    noderoot.write_map_of(keeper, id_map)
                    os.write(to_child, b"x")
                elif word == "INIT":
                    init = _child_of(keeper)
                elif word == "ERROR":
                    raise NotPossible(rest)
        if not init:
            raise NotPossible("the process that enters the namespaces ended without a word")
    except (NotPossible, OSError):
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        raise
    finally:
        os.close(to_child)
    return Kept(keeper, init)


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def _forget_the_launcher(keep: tuple[int, ...]) -> None:
    """Close what the launcher had open: a connection of its clients must end when it closes it.

    Its objects for them are still in this process's memory, and must not come to close numbers that mean something
    else by then.
    """
    gc.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # A Ctrl-C belongs to the command that started us, not to the cluster.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  names alone are wanted
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the one that the listing itself used
                os.close(int(name))


def _keep(
    enter: Callable[[Callable[[], None]], None], launcher: int, to_parent: int, from_parent: int
) -> None:
    """In the keeper: enter the namespaces, start pid 1, wait for it. Never returns."""

    def say(text: str) -> None:
        os.write(to_parent, text.replace("\n", " ").encode() + b"\n")

    def map_me() -> None:
        say("MAP")
        if os.read(from_parent, 1) != b"x":
            raise OSError("the launcher could not write the map of ids")

    code = 1
    try:
        linux.set_name("labs-keeper")
        enter(map_me)
        # After the change of ids, which clears it.
        linux.die_with_parent(signal.SIGKILL)
        if os.getppid() != launcher:
            os._exit(1)
        init = os.fork()
        if init == 0:
            try:
                noderoot.build_and_enter()
                # The pipe closes at exec: its end tells the launcher that pid 1 runs.
                os.execve(NODE_COMMAND[0], NODE_COMMAND, NODE_ENVIRONMENT)
            except BaseException as error:
                say(f"ERROR {error}")
            os._exit(1)
        say("INIT")
        os.close(to_parent)
        _, status = os.waitpid(init, 0)
        code = os.waitstatus_to_exitcode(status) & 0xFF
    except BaseException as error:
        with contextlib.suppress(OSError):
            say(f"ERROR {error}")
    os._exit(code)
