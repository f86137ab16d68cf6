"""The few Linux system calls that Python's standard library does not offer, through ctypes.

Every function raises `OSError` with the errno and a sentence saying what was tried. Standard library only:
the container shim and the launcher import this before anything else exists. Numbers and constants are those
of the kernel's uapi headers; x86_64 and aarch64 are supported.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

CLONE_NEWTIME: Final = 0x00000080
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_MOVE: Final = 8192
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20

MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

AT_FDCWD: Final = -100
AT_RECURSIVE: Final = 0x8000
MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NAME: Final = 15
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_DROP: Final = 24
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

_CAPABILITY_VERSION_3: Final = 0x20080522

# pivot_root has an older number on each architecture; calls since Linux 5 share one number.
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_CAPGET: Final = {"x86_64": 125, "aarch64": 90}
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_MOUNT_SETATTR: Final = 442
_OPEN_TREE_CLONE: Final = 1
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, tried: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{tried}: {os.strerror(number)}")
    return result


def _bytes(text: str | os.PathLike[str] | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def _number(table: dict[str, int], name: str) -> int:
    machine = platform.machine()
    if machine not in table:
        raise OSError(f"{name}: the system call number is not known for {machine}")
    return table[machine]


def mount(
    source: str | os.PathLike[str] | None,
    target: str | os.PathLike[str],
    kind: str | None = None,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """mount(2): attach `source` (type `kind`, MS_* `flags`, file system options `data`) at `target`."""
    result = _libc.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(data))
    _check(result, f"mount {source or ''} on {target} (type {kind}, flags {flags:#x}, data {data})")


def umount(target: str | os.PathLike[str], flags: int = MNT_DETACH) -> None:
    """umount2(2); by default lazily, so that a busy mount cannot keep the caller."""
    _check(_libc.umount2(_bytes(target), flags), f"umount {target}")


def set_mount_attributes(
    target: str | os.PathLike[str], attributes: int, *, recursive: bool = True, propagation: int = 0
) -> None:
    """mount_setattr(2): add MOUNT_ATTR_* `attributes` to the mount at `target` (and all below it)."""
    record = struct.pack("QQQQ", attributes, 0, propagation, 0)
    result = _libc.syscall(
        ctypes.c_long(_MOUNT_SETATTR),
        ctypes.c_int(AT_FDCWD),
        _bytes(target),
        ctypes.c_uint(AT_RECURSIVE if recursive else 0),
        record,
        ctypes.c_size_t(len(record)),
    )
    _check(result, f"mount_setattr {target} (attributes {attributes:#x}, recursive {recursive})")


def make_readonly(target: str | os.PathLike[str], *, recursive: bool = True) -> None:
    """Make the mount at `target` read-only, by default with all mounts below it."""
    set_mount_attributes(target, MOUNT_ATTR_RDONLY, recursive=recursive)


def open_tree(source: str | os.PathLike[str]) -> int:
    """open_tree(2): a detached copy of the mounts at `source` and below, as a descriptor for `move_mount`."""
    flags = _OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC
    result = _libc.syscall(
        ctypes.c_long(_OPEN_TREE), ctypes.c_int(AT_FDCWD), _bytes(source), ctypes.c_uint(flags)
    )
    return _check(result, f"open_tree {source}")


def move_mount(tree: int, target: str | os.PathLike[str]) -> None:
    """move_mount(2): attach a tree of `open_tree` at `target`."""
    result = _libc.syscall(
        ctypes.c_long(_MOVE_MOUNT),
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(AT_FDCWD),
        _bytes(target),
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
    )
    _check(result, f"move_mount on {target}")


def pivot_root(new_root: str | os.PathLike[str], put_old: str | os.PathLike[str]) -> None:
    """pivot_root(2): `new_root` (a mount point) becomes "/", the old root appears at `put_old`."""
    number = _number(_PIVOT_ROOT, "pivot_root")
    result = _libc.syscall(ctypes.c_long(number), _bytes(new_root), _bytes(put_old))
    _check(result, f"pivot_root {new_root} {put_old}")


def enter_root(new_root: str | os.PathLike[str]) -> None:
    """Make `new_root` (a mount point) the root directory and detach the old one entirely."""
    os.chdir(new_root)
    # With "." twice the old root lies on top of the new one and can be unmounted without a directory for it.
    pivot_root(".", ".")
    umount(".", MNT_DETACH)
    os.chdir("/")


def unshare(flags: int) -> None:
    """unshare(2): give the caller new namespaces (CLONE_NEW*)."""
    _check(_libc.unshare(ctypes.c_int(flags)), f"unshare {flags:#x}")


def setns(fd: int, kind: int = 0) -> None:
    """setns(2): join the namespace of `fd` (a namespace file, or a pidfd with CLONE_NEW* in `kind`)."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), f"setns (fd {fd}, kind {kind:#x})")


def join_namespace(path: str | os.PathLike[str], kind: int = 0) -> None:
    """Join the namespace whose file is at `path`; `kind` (CLONE_NEW*) guards against the wrong type."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), f"setns {path}")
    finally:
        os.close(fd)


def sethostname(name: str) -> None:
    """Set the host name of the caller's UTS namespace."""
    data = name.encode()
    _check(_libc.sethostname(data, ctypes.c_size_t(len(data))), f"sethostname {name}")


def prctl(option: int, argument: int = 0, argument3: int = 0, argument4: int = 0, argument5: int = 0) -> int:
    """prctl(2) with integer arguments."""
    arguments = (ctypes.c_ulong(a) for a in (argument, argument3, argument4, argument5))
    return _check(_libc.prctl(ctypes.c_int(option), *arguments), f"prctl {option} {argument}")


def set_name(name: str) -> None:
    """Set the calling thread's name (15 bytes are kept), as `ps` shows it."""
    _check(_libc.prctl(ctypes.c_int(PR_SET_NAME), name.encode()[:15], 0, 0, 0), f"prctl PR_SET_NAME {name}")


def die_with_parent(signal_number: int = 9) -> None:
    """Ask the kernel to send `signal_number` to the caller when the thread that forked it ends."""
    prctl(PR_SET_PDEATHSIG, signal_number)


def become_subreaper() -> None:
    """Make orphaned descendants of the caller its own children, so that it can wait for them."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Forbid the caller and what it executes to gain privileges by setuid files."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def drop_bounding_capability(number: int) -> None:
    """Remove one capability from the bounding set; a number the kernel does not know is ignored."""
    try:
        prctl(PR_CAPBSET_DROP, number)
    except OSError as error:
        if error.errno != 22:  # EINVAL: newer than this kernel, so nobody can have it
            raise


def set_capabilities(effective: int, permitted: int, inheritable: int = 0) -> None:
    """capset(2) for the calling thread; each argument is a bit mask with bit n for capability number n."""
    low, high = 0xFFFFFFFF, 32
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    data = struct.pack("6I", *(s & low for s in sets), *(s >> high for s in sets))
    number = _number(_CAPSET, "capset")
    result = _libc.syscall(ctypes.c_long(number), header, data)
    _check(result, f"capset (effective {effective:#x}, permitted {permitted:#x})")


def get_capabilities() -> tuple[int, int, int]:
    """capget(2) of the calling thread: (effective, permitted, inheritable) as bit masks."""
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    buffer = ctypes.create_string_buffer(24)
    number = _number(_CAPGET, "capget")
    _check(_libc.syscall(ctypes.c_long(number), header, buffer), "capget")
    words = struct.unpack("6I", buffer.raw)
    effective, permitted, inheritable = (words[i] | words[i + 3] << 32 for i in range(3))
    return effective, permitted, inheritable


def set_seccomp_filter(program: bytes) -> None:
    """Install the BPF `program` (8-byte instructions) as a seccomp filter of the caller and its children.

    Without no_new_privs the caller needs CAP_SYS_ADMIN in its user namespace.
    """
    code = ctypes.create_string_buffer(program, len(program))
    record = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    holder = ctypes.create_string_buffer(record, len(record))
    result = _libc.prctl(ctypes.c_int(PR_SET_SECCOMP), ctypes.c_ulong(2), holder, 0, 0)
    _check(result, "seccomp filter")


def pidfd_open(pid: int) -> int:
    """A close-on-exec descriptor of process `pid`: it becomes readable when that process ends."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        raise OSError(error.errno, f"pidfd_open {pid}: {os.strerror(error.errno or 0)}") from error
