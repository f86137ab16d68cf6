"""What the short-lived child of the shim does to make a sandbox: namespaces, pins, network, shared memory.

It stays in the node's mount namespace, so the files it binds the namespaces to keep them alive after it: no
process holds a Pod's sandbox open.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime import rtnetlink
from labsupport.cluster.embedded.runtime.spec import SandboxSpec

SHARED_MEMORY_SIZE = "64m"  # what other runtimes give a Pod


def create(spec: SandboxSpec) -> None:
    """Make the sandbox; runs in a forked child that ends afterwards. Raises OSError."""
    directory = Path(spec.directory)
    directory.mkdir(parents=True)
    directory.chmod(0o700)
    own_network = bool(spec.address)
    with rtnetlink.netlink() as node_link:  # opened here, it goes on speaking for the node's namespace
        linux.unshare(
            linux.CLONE_NEWUTS
            | (linux.CLONE_NEWIPC if spec.own_ipc else 0)
            | (linux.CLONE_NEWNET if own_network else 0)
        )
        linux.sethostname(spec.hostname)
        if own_network:
            _connect(spec, node_link)
            _pin("net", Path(spec.network_namespace))
    _apply_sysctls(spec.sysctls)
    _pin("uts", directory / "uts")
    if spec.own_ipc:
        _pin("ipc", directory / "ipc")
        shm = directory / "shm"
        shm.mkdir()
        linux.mount(
            "shm", shm, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC,
            f"mode=1777,size={SHARED_MEMORY_SIZE}",
        )  # fmt: skip


def _pin(kind: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    linux.mount(f"/proc/self/ns/{kind}", path, None, linux.MS_BIND)


def _connect(spec: SandboxSpec, node_link: socket.socket) -> None:
    """A veth pair as point-to-point link: the gateway's address on the node's end, /32 routes on both."""
    own_namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    with rtnetlink.netlink() as pod_link:
        rtnetlink.add_veth(node_link, spec.link, "eth0", own_namespace)
        os.close(own_namespace)
        node_index = rtnetlink.index_of(node_link, spec.link)
        rtnetlink.add_address(node_link, node_index, spec.gateway, 32)
        rtnetlink.set_up(node_link, node_index)
        rtnetlink.add_route(node_link, node_index, spec.address)
        rtnetlink.set_up(pod_link, socket.if_nametoindex("lo"))
        index = socket.if_nametoindex("eth0")
        rtnetlink.add_address(pod_link, index, spec.address, spec.prefix_length)
        rtnetlink.set_up(pod_link, index)
        rtnetlink.add_route(pod_link, index, spec.gateway)
        rtnetlink.add_route(pod_link, index, None, spec.gateway)


def _apply_sysctls(sysctls: dict[str, str]) -> None:
    for name, value in sysctls.items():
        parts = name.replace("/", ".").split(".")
        if not all(parts):
            raise OSError(f"sysctl {name}: not a name")
        path = Path("/proc/sys", *parts)
        try:
            path.write_text(value)
        except OSError as error:
            raise OSError(error.errno, f"sysctl {name}={value}: {error.strerror}") from error


def hold_pid_namespace(course_root: str, stage: str) -> None:
    """Become pid 1 of a PID namespace that the containers of a Pod share; never returns, raises OSError.

    It reaps what is left to it and does nothing else. It gets a root of its own, since a container with the right
    to trace processes can look into the root of every process of its PID namespace.
    """
    os.setsid()
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount(course_root, stage, None, linux.MS_BIND)
    linux.make_readonly(stage)
    linux.enter_root(stage)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel then reaps orphans by itself, also after exec
    linux.die_with_parent(signal.SIGKILL)
    os.execve("/usr/bin/sleep", ["/pause", "infinity"], {})
