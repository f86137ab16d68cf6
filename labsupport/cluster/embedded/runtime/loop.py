"""The shim's event loop and the forking of children into PID namespaces. Standard library only."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import sys
import traceback
from collections.abc import Callable

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import process_init

NEW = "new"
_FD = struct.Struct("i")


class Loop:
    """Calls a function when a descriptor can be read (or written): one thread, no locks."""

    def __init__(self) -> None:
        """Start with nothing to wait for."""
        self._selector = selectors.DefaultSelector()

    def on_readable(self, fd: int, call: Callable[[], object]) -> None:
        """Call when `fd` has data, an end of file, or (a pidfd) an ended process."""
        self._selector.register(fd, selectors.EVENT_READ, call)

    def on_writable(self, fd: int, call: Callable[[], object]) -> None:
        """Call when `fd` takes data again."""
        self._selector.register(fd, selectors.EVENT_WRITE, call)

    def forget(self, fd: int) -> None:
        """Stop waiting for `fd`; nothing happens if nobody waits for it."""
        try:
            self._selector.unregister(fd)
        except KeyError:
            return

    def run(self) -> None:
        """Go on for ever. An error in one call is printed and must not end the containers of the others."""
        while True:
            for key, _ in self._selector.select():
                current = self._selector.get_map().get(key.fd)
                if current is None or current.data is not key.data:
                    continue  # an earlier call of this round ended it
                try:
                    key.data()
                except Exception:
                    traceback.print_exc(file=sys.stderr)


class Forker:
    """Forks children of the shim, each into the PID namespace it belongs to."""

    def __init__(self) -> None:
        """Remember the PID namespace to return to."""
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def fork(
        self, body: Callable[[socket.socket], None], pid_namespace: str | int | None = None
    ) -> tuple[int, socket.socket]:
        """Run `body` in a child and return (pid, status socket).

        `pid_namespace` is None (the shim's own), NEW, a namespace file or the pidfd of a process. The shim
        changes the namespace of its future children and changes it back: so the child is the shim's own, can be
        waited for, and dies with it. `body` should exec; an exception it raises is reported on the socket.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            if pid_namespace == NEW:
                linux.unshare(linux.CLONE_NEWPID)
            elif isinstance(pid_namespace, int):
                linux.setns(pid_namespace, linux.CLONE_NEWPID)
            elif pid_namespace:
                linux.join_namespace(pid_namespace, linux.CLONE_NEWPID)
            pid = os.fork()
        except OSError:
            linux.setns(self._own, linux.CLONE_NEWPID)
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            _be_child(body, ours, theirs)
        if pid_namespace is not None:
            linux.setns(self._own, linux.CLONE_NEWPID)
        theirs.close()
        return pid, ours


def _be_child(body: Callable[[socket.socket], None], ours: socket.socket, theirs: socket.socket) -> None:
    code = 127
    try:
        ours.close()
        body(theirs)
        code = 0
    except BaseException as error:
        theirs.send(process_init.TAG_ERROR + process_init.describe(error).encode(errors="replace")[:4000])
    finally:
        os._exit(code)


def receive_fds(connection: socket.socket, size: int, count: int) -> tuple[bytes, list[int]]:
    """Receive data and at most `count` descriptors, none of which a container that is started later inherits."""
    # socket.recv_fds of Python 3.11 ignores the flag that makes them close at exec.
    room = socket.CMSG_LEN(count * _FD.size)
    data, ancillary, _, _ = connection.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    fds = [
        fd
        for level, kind, payload in ancillary
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        for (fd,) in _FD.iter_unpack(payload[: len(payload) // _FD.size * _FD.size])
    ]
    return data, fds


def exit_code(wait_status: int) -> int:
    """The code a container runtime reports: the program's own, or 128 plus the signal that ended it."""
    code = os.waitstatus_to_exitcode(wait_status)
    return 128 - code if code < 0 else code
