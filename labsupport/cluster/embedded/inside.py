"""Run a program of the host's choice inside the node: its namespaces, its root directory, its network.

Pod addresses and node ports are reachable from there only. As a program, this module goes into the namespaces of
a process (its first argument; the node's pid 1), runs the other arguments there and ends with their exit status.
Standard library only: after the change of root directory nothing more can be imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from labsupport.cluster.embedded import linux, noderoot

NOT_RUN = 125  # the exit status when the program could not be started


def command(init: int, words: Sequence[str]) -> list[str]:
    """What to start on the host to run `words` in the node whose pid 1 is `init` (a pid on the host).

    The program and all that it starts are in a pid namespace of their own below the node's, which the kernel ends with
    the process that is started here, however that ends.
    """
    return [sys.executable, "-m", __name__, str(init), *words]


def enter(init: int) -> None:
    """Join the namespaces of process `init` and become their root. A new pid namespace is for children only."""
    linux.setns(linux.pidfd_open(init), noderoot.NODE_NAMESPACES)
    # The host's id need not exist in there. Groups cannot be set where one id is mapped; they then grant nothing.
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _go_on_in_child() -> None:
    """Fork and go on as the child, which ends with its parent. The parent ends with the child's exit status."""
    child = os.fork()
    if child == 0:
        linux.die_with_parent(signal.SIGKILL)
        return
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _run(init: int, words: Sequence[str], environment: Mapping[str, str]) -> None:
    starter = os.getppid()
    enter(init)
    # After the change of ids, which clears it.
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != starter:
        os._exit(1)
    _go_on_in_child()  # in the node's pid namespace
    linux.unshare(linux.CLONE_NEWPID)
    _go_on_in_child()  # pid 1 of the new one: collects what the program leaves behind, and ends it with itself
    _go_on_in_child()
    os.chdir("/")
    os.execvpe(words[0], list(words), dict(environment))


def main(words: Sequence[str]) -> None:
    """Do what the module's first lines say."""
    try:
        _run(int(words[0]), words[1:], os.environ)
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(NOT_RUN)


if __name__ == "__main__":
    main(sys.argv[1:])
