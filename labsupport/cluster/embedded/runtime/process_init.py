"""From a forked child of the shim to a container's program: namespaces, root, terminal, privileges, exec.

The child reports through a socket that closes by itself at exec: nothing written means that the program
runs. Every message starts with a tag, so that no content can be mistaken for another kind of message.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import capabilities, rootfs
from labsupport.cluster.embedded.runtime.spec import ContainerSpec, Privileges

TAG_ERROR, TAG_TERMINAL = b"E", b"T"

_TIOCSPTLCK, _TIOCGPTN = 0x40045431, 0x80045430  # unlock a pty, get its number (asm-generic/ioctls.h)

_JOIN_ORDER = (("net", linux.CLONE_NEWNET), ("ipc", linux.CLONE_NEWIPC), ("uts", linux.CLONE_NEWUTS))
_CONTAINER_NAMESPACES = (
    linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWPID
)


class StartError(Exception):
    """The program cannot be started, with the sentence for the Pod's status."""


def run_container(spec: ContainerSpec, stdio: Sequence[int], status: socket.socket) -> None:
    """Become the container's main process; returns never, raises OSError or StartError."""
    os.setsid()
    if spec.control_group:
        _join_group(spec)
        # Its group is the root of all that it sees, so that a program finds its own limits there.
        linux.unshare(linux.CLONE_NEWCGROUP)
    for kind, flag in _JOIN_ORDER:
        if path := spec.namespaces.get(kind):
            linux.join_namespace(path, flag)
    rootfs.build(spec.root, Path(spec.stage), own_group=bool(spec.control_group))
    _set_stdio(stdio, status if spec.tty else None, spec.privileges)
    Path(spec.cwd).mkdir(parents=True, exist_ok=True)
    os.chdir(spec.cwd)
    if spec.privileges.nested:
        _nest(spec.privileges)
    _start(spec.argv, spec.env, spec.privileges)


def run_exec(
    argv: Sequence[str],
    container: ContainerSpec,
    init_pidfd: int,
    stdio: Sequence[int],
    status: socket.socket,
    *,
    tty: bool,
) -> None:
    """Become one more process of a running container. Its PID namespace was joined before the fork."""
    os.setsid()
    kinds = _CONTAINER_NAMESPACES & ~linux.CLONE_NEWPID
    if container.control_group:
        _join_group(container)
        kinds |= linux.CLONE_NEWCGROUP
    linux.setns(init_pidfd, kinds)
    _set_stdio(stdio, status if tty else None, container.privileges)
    os.chdir(container.cwd)
    if container.privileges.nested:
        linux.setns(init_pidfd, linux.CLONE_NEWUSER)
    env = {**container.env, "TERM": container.env.get("TERM", "xterm")} if tty else container.env
    _start(argv, env, container.privileges)


def _join_group(spec: ContainerSpec) -> None:
    Path(spec.control_group, "cgroup.procs").write_text("0")


def _set_stdio(stdio: Sequence[int], terminal: socket.socket | None, privileges: Privileges) -> None:
    """Put the three descriptors in place; for a terminal, one of the container's own devpts.

    Its other end goes to the shim over the status socket.
    """
    if terminal is None:
        for target, fd in enumerate(stdio):
            if privileges.uid and not privileges.nested and stat.S_ISFIFO(os.fstat(fd).st_mode):
                os.fchown(fd, privileges.uid, -1)  # else the user could not open /dev/stdout
            os.dup2(fd, target)
        return
    master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
    (number,) = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, b"\0\0\0\0"))
    slave = os.open(f"/dev/pts/{number}", os.O_RDWR)  # the first terminal of a session leader controls it
    if privileges.uid and not privileges.nested:
        os.fchown(slave, privileges.uid, -1)
    for fd in range(3):
        os.dup2(slave, fd)
    os.close(slave)
    socket.send_fds(terminal, [TAG_TERMINAL], [master])
    os.close(master)


def _nest(privileges: Privileges) -> None:
    """Show the wanted ids through a user namespace: inside it the node's root has that number."""
    linux.unshare(linux.CLONE_NEWUSER)
    Path("/proc/self/uid_map").write_text(f"{privileges.uid} 0 1")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"{privileges.gid} 0 1")


def _start(argv: Sequence[str], env: Mapping[str, str], privileges: Privileges) -> None:
    program = _find(argv[0], env.get("PATH", os.defpath))
    if privileges.oom_score_adj is not None:
        with contextlib.suppress(OSError):  # lowering it needs a right that an ordinary user does not have
            Path("/proc/self/oom_score_adj").write_text(str(privileges.oom_score_adj))
    for number, name in enumerate(capabilities.NAMES):
        if name not in privileges.capabilities:
            linux.drop_bounding_capability(number)
    if not privileges.nested:
        with contextlib.suppress(
            PermissionError
        ):  # a user namespace with one id may forbid it: no groups then
            os.setgroups(privileges.groups)
        os.setresgid(privileges.gid, privileges.gid, privileges.gid)
        os.setresuid(privileges.uid, privileges.uid, privileges.uid)
    if privileges.no_new_privileges:
        linux.no_new_privileges()
    # After the last change of ids, which clears it: a container must not outlive the shim that pumps its logs.
    linux.die_with_parent(signal.SIGKILL)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, programs expect the default
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    try:
        os.execve(program, list(argv), env)
    except OSError as error:
        raise StartError(f'exec: "{argv[0]}": {os.strerror(error.errno or 0)}') from error


def _find(name: str, path: str) -> str:
    """The file that `name` means, as execvp finds it, in the container's root."""
    if "/" in name:
        if not os.path.exists(name):  # noqa: PTH110
            raise StartError(f'exec: "{name}": stat {name}: no such file or directory')
        return name
    for directory in path.split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):  # noqa: PTH112
            return candidate
    raise StartError(f'exec: "{name}": executable file not found in $PATH')


def describe(error: BaseException) -> str:
    """The sentence about a failed start for the Pod's status."""
    if isinstance(error, StartError):
        return str(error)
    if isinstance(error, OSError) and error.errno and not error.strerror:
        return errno.errorcode.get(error.errno, str(error.errno))
    return f"{type(error).__name__}: {error}" if not isinstance(error, OSError) else str(error)
