"""Try, in a process of its own, what a node needs of the kernel, and say of each step whether it worked.

Run as `python -m labsupport.cluster.doctor.trial DIRECTORY MAP`, with an empty directory on the file system that will
hold the cluster's state, and the map of ids that the cluster will have (idmap.py, as JSON). Prints one JSON object a
line: {"step", "errno", "error"} (errno 0: it worked). A step that fails ends the trial where the later ones need it.
All namespaces end with the process; files are left only in DIRECTORY. Nothing that starts threads is imported, so fork
is safe.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

from labsupport.cluster.embedded import idmap, linux, mapped, noderoot, removal
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.embedded.runtime import rtnetlink

INOTIFY_INSTANCES = 32  # what a node with some Pods was seen to use, with room

# linux/netfilter/nfnetlink.h and nf_tables.h
_NETLINK_NETFILTER = 12  # linux/netlink.h; the socket module does not name it
_BATCH_BEGIN, _BATCH_END, _NFTABLES = 0x10, 0x11, 10
_NEW_TABLE, _NEW_CHAIN = 0, 3
_TABLE_NAME, _CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_TYPE = 1, 1, 3, 4, 7
_HOOK_NUMBER, _HOOK_PRIORITY, _NESTED = 1, 2, 0x8000
_REQUEST, _ACK, _CREATE = 0x1, 0x4, 0x400
_HOOK_LOCAL_OUT = 3


def attempt(step: str, act: Callable[[], object]) -> bool:
    """Do one step and report it."""
    number, error = 0, ""
    try:
        act()
    except OSError as failure:
        number, error = failure.errno or -1, failure.strerror or str(failure)
    # One write, so that a later crash cannot lose it.
    os.write(1, json.dumps({"step": step, "errno": number, "error": error}).encode() + b"\n")
    return number == 0


def nftables() -> None:
    """Make a table with a NAT chain, as kube-proxy does. Raises OSError with the kernel's reason."""
    header = struct.pack(">BBH", socket.AF_INET, 0, 0)
    batch = struct.pack(">BBH", 0, 0, _NFTABLES)
    table = header + rtnetlink.attribute(_TABLE_NAME, b"trial\0")
    hook = rtnetlink.attribute(_HOOK_NUMBER, struct.pack(">I", _HOOK_LOCAL_OUT))
    hook += rtnetlink.attribute(_HOOK_PRIORITY, struct.pack(">i", -100))
    chain = (
        header + rtnetlink.attribute(_CHAIN_TABLE, b"trial\0") + rtnetlink.attribute(_CHAIN_NAME, b"out\0")
    )
    chain += rtnetlink.attribute(_CHAIN_HOOK | _NESTED, hook) + rtnetlink.attribute(_CHAIN_TYPE, b"nat\0")
    messages = [
        (_BATCH_BEGIN, _REQUEST, batch),
        (_NFTABLES << 8 | _NEW_TABLE, _REQUEST | _ACK | _CREATE, table),
        (_NFTABLES << 8 | _NEW_CHAIN, _REQUEST | _ACK | _CREATE, chain),
        (_BATCH_END, _REQUEST, batch),
    ]
    data = b"".join(
        struct.pack("IHHII", 16 + len(body), kind, flags, number, 0) + body
        for number, (kind, flags, body) in enumerate(messages)
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER) as link:
        link.bind((0, 0))
        link.send(data)
        acknowledged = 0
        while acknowledged < 2:
            # Netlink answers before `send` returns: what is not there now will not come.
            answers = link.recv(1 << 16, socket.MSG_DONTWAIT)
            while answers:
                length, _, _, _, _, number = struct.unpack_from("IHHIIi", answers)
                if number:
                    raise OSError(-number, f"nftables: {os.strerror(-number)}")
                acknowledged += 1
                answers = answers[(length + 3) & ~3 :]


def veth() -> None:
    """Make a pair of virtual interfaces, as every Pod has one."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    with rtnetlink.netlink() as link:
        rtnetlink.add_veth(link, "trial0", "trial1", here)


def overlay() -> None:
    """Mount an overlay on the state's file system, and write in it: every container's root is one."""
    for name in ("lower/directory", "upper", "work", "merged"):
        Path(name).mkdir(parents=True, exist_ok=True)
    linux.mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work,userxattr")
    # Needs user extended attributes in the upper directory: not every file system has them.
    Path("merged/directory").rmdir()
    Path("merged/directory").mkdir()
    (Path("merged") / "directory" / "file").write_text("x")


def inotify() -> None:
    """Open as many inotify instances as a node uses; the limit is shared by all processes of the user."""
    libc = ctypes.CDLL(None, use_errno=True)
    for count in range(INOTIFY_INSTANCES):
        if libc.inotify_init1(os.O_CLOEXEC) < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{os.strerror(number)} after {count} of {INOTIFY_INSTANCES} instances")


def in_node() -> None:
    """As pid 1 of new namespaces: what the node mounts, and its network."""
    linux.die_with_parent()
    if not attempt("mount", lambda: linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)):
        return
    for name in ("proc", "sys", "tmpfs"):
        Path(name).mkdir()
    safe = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    attempt("proc", lambda: linux.mount("proc", "proc", "proc", safe))
    attempt("sysfs", lambda: linux.mount("sysfs", "sys", "sysfs", safe | linux.MS_RDONLY))
    attempt("tmpfs", lambda: linux.mount("tmpfs", "tmpfs", "tmpfs", safe))
    attempt("overlay", overlay)
    attempt("veth", veth)
    attempt("nftables", nftables)


def in_namespaces(map_me: Callable[[], None]) -> None:
    """Enter namespaces as the node does, one step after the other."""
    if not attempt("user-namespace", lambda: linux.unshare(linux.CLONE_NEWUSER)):
        return
    if not attempt("id-map", map_me):
        return
    others = noderoot.NODE_NAMESPACES & ~linux.CLONE_NEWUSER
    if not attempt("namespaces", lambda: linux.unshare(others)):
        return
    init = os.fork()
    if init == 0:
        try:
            in_node()
        finally:
            os._exit(0)
    os.waitpid(init, 0)


def main(directory: Path, id_map: IdMap) -> int:
    """Run the trial."""
    os.chdir(directory)
    attempt("inotify", inotify)
    if id_map.kind == "subordinate" and not attempt("subordinate-ids", lambda: removal.run_mapped(id_map)):
        id_map = idmap.single()  # as a new cluster does then
    if id_map.owner_base is not None:
        os.chown(".", id_map.uid_base, id_map.gid_base)

    def act(map_me: Callable[[], None]) -> int:
        in_namespaces(map_me)
        return 0

    mapped.run(id_map, act)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), IdMap(**json.loads(sys.argv[2]))))
