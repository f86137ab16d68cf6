"""A node's namespaces and its root directory, built on the way from the host into the node. Standard library only.

Two user namespaces, one inside the other. The outer one binds what the node may only read (programs, the course
root, our package) and makes these mounts read-only; in the inner one, which the node lives in, the kernel keeps them
so whatever a privileged container tries (mount_namespaces(7), "locked" mounts). The rest of the host's file system is
left behind by pivot_root. Further nodes live in the same two user namespaces and have all others for themselves.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster.embedded import delegation, linux
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.cluster.embedded.runtime import rtnetlink

STAGE = Path("/tmp")  # noqa: S108  exists everywhere; in a mount namespace of our own it is a place to build in
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
CONTROL_GROUPS = Path("/sys/fs/cgroup")
VOLUMES = Path("/var/lib/hostpath-volumes")  # the default StorageClass's, as the node sees them
NS_GET_PARENT = 0xB702  # ioctl_ns(2): the user namespace around a user namespace
NODE_NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWCGROUP
)


@dataclass(frozen=True)
class Sources:
    """The host's directories that the node sees, and its programs (name -> file)."""

    course_root: Path
    package: Path  # a copy of labsupport's parent: what PYTHONPATH names in the node
    etc: Path
    var: Path
    host: Path  # the one directory that host and node share: socket and status
    programs: Mapping[str, Path]
    volumes: Path | None = None  # where a worker finds node 1's volumes; node 1 has them in its /var

    def bound(self) -> dict[str, tuple[Path, bool]]:
        """Name on the stage -> (source, read-only)."""
        return {
            "course-root": (self.course_root, True),
            "package": (self.package, True),
            "etc": (self.etc, False),
            "var": (self.var, False),
            "host": (self.host, False),
            **({"volumes": (self.volumes, False)} if self.volumes else {}),
            **{f"bin/{name}": (path, True) for name, path in self.programs.items()},
        }


def write_own_map(id_map: IdMap) -> None:
    """Map the one id that the caller may map without help (user_namespaces(7)); groups can then not be set."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(id_map.uid_lines())
    Path("/proc/self/gid_map").write_text(id_map.gid_lines())


def write_map_of(pid: int, id_map: IdMap) -> None:
    """Map ids for process `pid`; for a caller that has CAP_SETUID where `pid`'s namespace was made.

    Subordinate ids are mapped by the programs that have that right (newuidmap(1)); raises OSError with their words.
    """
    for command in id_map.commands(pid):
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise OSError(f"{command[0]}: {error.strerror}") from error
        if done.returncode:
            raise OSError(done.stderr.strip() or f"{command[0]}: exit status {done.returncode}")
    if not id_map.commands(pid):
        _write_map(pid, id_map)


def _write_map(pid: int, id_map: IdMap) -> None:
    Path(f"/proc/{pid}/uid_map").write_text(id_map.uid_lines())
    Path(f"/proc/{pid}/gid_map").write_text(id_map.gid_lines())


def enter_namespaces(id_map: IdMap, sources: Sources, map_me: Callable[[], None]) -> None:
    """Go into the node's namespaces; the next child of the caller is their pid 1.

    `map_me` asks the parent process to write the map of more ids than one and returns when that is done.
    Raises OSError, saying what was tried: this is where a host that forbids user namespaces refuses.
    """
    if id_map.kind != "range":
        linux.unshare(linux.CLONE_NEWUSER)
        _take_map(id_map, map_me)
    group = delegation.enter_node_group(id_map)
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    _set_stage(sources)
    if id_map.kind == "subordinate":
        map_me = _mapper(id_map.inside())
    linux.unshare(NODE_NAMESPACES)
    _take_map(id_map.inside(), map_me)
    delegation.share_out(group)


def _take_map(id_map: IdMap, map_me: Callable[[], None]) -> None:
    if id_map.kind == "single":
        write_own_map(id_map)
    else:
        map_me()
        become_root()


def _mapper(id_map: IdMap) -> Callable[[], None]:
    """What has the caller's map written in a user namespace that it makes next, by a process that stays in this one.

    Who has made a user namespace has no rights outside of it any more, and newuidmap may write no map for one whose
    parent is not its own.
    """
    wait, go = os.pipe()
    caller = os.getpid()
    writer = os.fork()
    if writer == 0:
        code = 0
        try:
            os.close(go)
            if os.read(wait, 1):
                _write_map(caller, id_map)
        except OSError as error:
            code = error.errno or errno.EIO
        finally:
            os._exit(code)

    def map_me() -> None:
        os.write(go, b"x")
        if code := os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1]):
            raise OSError(code, f"map of ids within the cluster's: {os.strerror(code)}")
        os.close(go)
        os.close(wait)

    return map_me


def enter_beside(
    id_map: IdMap, sources: Sources, first: int, connect: Callable[[socket.socket], None]
) -> None:
    """Go into the namespaces of a further node; the next child of the caller is their pid 1.

    The user namespaces are those of the cluster, found at the first node's pid 1 (`first`, on the host); all others
    are new. `connect` is called in the new network namespace with a netlink socket that speaks for the first node's.
    """
    inner = os.open(f"/proc/{first}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    network = os.open(f"/proc/{first}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if id_map.kind != "range":
        outer = fcntl.ioctl(inner, NS_GET_PARENT)
        linux.setns(outer, linux.CLONE_NEWUSER)
        os.close(outer)
        if id_map.kind != "single":
            become_root()
    group = delegation.enter_node_group(id_map)
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    _set_stage(sources)
    linux.setns(inner, linux.CLONE_NEWUSER)
    if id_map.kind != "single":
        become_root()
    linux.setns(network, linux.CLONE_NEWNET)
    with rtnetlink.netlink() as first_link:
        # The mount namespace belongs to another user namespace than the stage's: this is what locks the mounts.
        linux.unshare(NODE_NAMESPACES & ~linux.CLONE_NEWUSER)
        delegation.share_out(group)
        connect(first_link)
    for descriptor in (inner, network):
        os.close(descriptor)


def become_root() -> None:
    """Be the user namespace's root, which its first process is not by itself, and in no other group."""
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _set_stage(sources: Sources) -> None:
    """Bind everything that the node sees onto the stage, and lock what it may only read."""
    bound = sources.bound()
    # Opened first: a source may lie below the directory that the stage is about to hide.
    descriptors = {name: os.open(source, os.O_PATH | os.O_CLOEXEC) for name, (source, _) in bound.items()}
    linux.mount("tmpfs", STAGE, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755")
    (STAGE / "root").mkdir()
    for name, (_, read_only) in bound.items():
        target = STAGE / name
        if stat.S_ISDIR(os.fstat(descriptors[name]).st_mode):
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        linux.mount(f"/proc/self/fd/{descriptors[name]}", target, None, linux.MS_BIND | linux.MS_REC)
        os.close(descriptors[name])
        if read_only:
            linux.set_mount_attributes(target, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NODEV)


def build_and_enter() -> None:
    """As pid 1 of the node: build the root directory on the stage and leave the host's behind."""
    linux.die_with_parent(signal.SIGKILL)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    root = STAGE / "root"
    course_root = STAGE / "course-root"
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755")
    for name in ("proc", "sys", "dev", "run", "tmp", "root", "home", "mnt", "srv", "opt/labs/bin"):
        (root / name).mkdir(parents=True)
    for source, target, is_link in (
        (STAGE / "etc", "etc", False),
        (STAGE / "var", "var", False),
        (course_root, "opt/course-root", False),
        (course_root / "usr", "usr", False),
        (STAGE / "package", "opt/labs/lib", False),
        (Path("/opt/course-root/opt/labs/site"), "opt/labs/site", True),
    ):
        if is_link:
            (root / target).symlink_to(source)
        else:
            _bind(source, root / target)
    if (STAGE / "volumes").is_dir():
        _bind(STAGE / "volumes", root / VOLUMES.relative_to("/"))
    for entry in course_root.iterdir():
        if entry.is_symlink() and not (root / entry.name).exists():
            (root / entry.name).symlink_to(entry.readlink())
    for program in (STAGE / "bin").iterdir():
        _bind(program, root / "opt/labs/bin" / program.name)
    linux.mount("tmpfs", root / "tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777")
    linux.mount("tmpfs", root / "run", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=0755")
    _bind(STAGE / "host", root / "run/host")
    linux.mount("proc", root / "proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount(
        "sysfs", root / "sys", "sysfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC | linux.MS_RDONLY
    )
    _mount_control_groups(root)
    _make_devices(root / "dev")
    linux.enter_root(root)
    # The kubelet propagates mounts into containers that ask for it.
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SHARED)


def _bind(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.touch()
    linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)


def _make_devices(dev: Path) -> None:
    linux.mount("tmpfs", dev, "tmpfs", linux.MS_NOSUID, "mode=0755")
    for name in DEVICES:
        _bind(Path("/dev") / name, dev / name)
    for name, kind, options in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", "mode=1777"),
        ("mqueue", "mqueue", None),
    ):
        (dev / name).mkdir()
        linux.mount(kind, dev / name, kind, linux.MS_NOSUID | linux.MS_NOEXEC, options)
    (dev / "ptmx").symlink_to("pts/ptmx")
    (dev / "fd").symlink_to("/proc/self/fd")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (dev / name).symlink_to(f"/proc/self/fd/{number}")


def _mount_control_groups(root: Path) -> None:
    """Show the node its own control groups: the kubelet reads them and refuses to start without."""
    target = root / "sys/fs/cgroup"
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    if (CONTROL_GROUPS / "cgroup.controllers").exists():
        # Writable where the node's group is its own (delegation.py): owners and modes of the files see to that.
        linux.mount("cgroup2", target, "cgroup2", flags)
        return
    flags |= linux.MS_RDONLY
    # Version 1: one mount for each set of controllers, as the host has them.
    linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC, "mode=0755")
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        controllers = line.split(":", 2)[1]
        if controllers and not controllers.startswith("name="):
            (target / controllers).mkdir()
            with contextlib.suppress(OSError):
                linux.mount("cgroup", target / controllers, "cgroup", flags, controllers)
