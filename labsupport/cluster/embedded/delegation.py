"""The part of the host's control groups that is ours to divide, where the host gives an ordinary user one.

Limits of memory and CPU need control groups version 2, and a subtree of them that its owner may divide and that holds
nobody else. systemd hands one out on request: a scope with `Delegate=yes`, of the user's own manager or, to root, of
the machine's. The launcher runs in such a scope, in a leaf of it, and makes a group for each node beside itself.
Standard library only.
Sources: cgroups(7), "Cgroups delegation"; kernel, Documentation/admin-guide/cgroup-v2.rst; systemd.resource-control(5).
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labsupport.cluster.embedded.idmap import IdMap

ROOT = Path("/sys/fs/cgroup")
# Those that kubelet or a container's limits and figures need. Without cpuset, which systemd gives no user unless it is
# told to, all goes well but for a warning of kubelet (clusters/README.md, control-groups).
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
LEAF = "launcher"  # in the scope; and in a node's group:
NODE_LEAF = "node"  # a group with controllers for its children may hold no process itself
# What the owner of a subtree must be able to write, beside the directory (cgroup-v2.rst, "Model of Delegation").
OWNED = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")


@dataclass(frozen=True)
class Delegation:
    """Whether limits can be had, and how: `command` is to stand before the launcher's own.

    `why_not` is "" where they can, else the rest of a sentence that begins with "limits are not enforced: ".
    """

    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    controllers: tuple[str, ...] = ()
    why_not: str = ""


def find(
    name: str,
    uid: int | None = None,
    root: Path = ROOT,
    run: Path = Path("/run"),
    which: Callable[[str], str | None] = shutil.which,
) -> Delegation:
    """How the launcher of cluster `name` gets a subtree of its own; changes nothing.

    The other arguments are for tests: the user, the control groups' mount, /run, and the finder of programs.
    """
    uid = os.geteuid() if uid is None else uid
    if not (root / "cgroup.controllers").exists():
        return Delegation(why_not="this machine has no control groups of version 2 alone")
    program = which("systemd-run")
    if program is None:
        return Delegation(why_not="there is no systemd-run to ask for control groups")
    runtime = run if uid == 0 else run / f"user/{uid}"
    if not (runtime / "systemd/private").exists():
        if uid == 0:
            return Delegation(why_not="systemd is not running")
        return Delegation(
            why_not="no systemd user manager is running (it comes with a login, and goes with the last one)"
        )
    manager = "" if uid == 0 else f"user.slice/user-{uid}.slice/user@{uid}.service"
    try:
        given = (root / manager / "cgroup.controllers").read_text().split()
    except OSError:
        given = []
    if "memory" not in given:
        return Delegation(
            why_not="systemd gives you no memory controller to divide (Delegate= of user@.service)"
        )
    command = [program, "--scope", "--quiet", "--collect", "--property=Delegate=yes"]
    command += [f"--description=Cluster {name} of the labs"]
    environment = {}
    if uid != 0:
        command.insert(1, "--user")
        environment["XDG_RUNTIME_DIR"] = str(runtime)
    return Delegation((*command, "--"), environment, tuple(each for each in CONTROLLERS if each in given))


def own_group(root: Path = ROOT, proc: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The directory of the group of version 2 that this process is in; None where there is none."""
    if not (root / "cgroup.controllers").exists():
        return (
            None  # version 1: `root` is a file system of its own, where root could make what nobody removes
        )
    for line in proc.read_text().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            return root / path.lstrip("/")
    return None


def divide(group: Path) -> tuple[str, ...]:
    """Have `group` pass controllers on to its children; which. Raises OSError: it holds a process, or is not ours."""
    given = (group / "cgroup.controllers").read_text().split()
    wanted = tuple(each for each in CONTROLLERS if each in given)
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in wanted))
    return wanted


def take_scope() -> str:
    """In the launcher, which alone is in a scope of its own: go into a leaf of it, so that it can be divided.

    Why that was not possible, or "".
    """
    scope = own_group()
    if scope is None:
        return "no control group of version 2"
    try:
        leaf = scope / LEAF
        leaf.mkdir()
        (leaf / "cgroup.procs").write_text("0")
        divide(scope)
    except OSError as error:
        return str(error)
    return ""


def enter_node_group(id_map: IdMap) -> Path | None:
    """In a keeper: make the group that the node will see as the root of all, and go into it; None: not possible.

    A group that the node shared with the learner's terminal would let a privileged container end that terminal
    (cgroup.kill). Where we may not make a group, ours is not writable either.
    """
    here = own_group()
    if here is None or not os.access(here, os.W_OK):
        return None
    group = (here.parent if here.name == LEAF else here) / f"labs-{os.getpid()}"
    try:
        (group / NODE_LEAF).mkdir(parents=True)
        if id_map.owner_base is not None:
            for directory in (group, group / NODE_LEAF):
                for file in (directory, *(directory / name for name in OWNED)):
                    os.chown(file, id_map.uid_base, id_map.gid_base)
        (group / "cgroup.procs").write_text("0")
    except OSError:
        return None
    return group


def share_out(group: Path | None) -> None:
    """In a keeper that has its ids and its control group namespace: into the leaf, and divide the node's group.

    Where that fails the node has no limits and says so (runtime/limits.py looks at what it has).
    """
    if group is not None:
        with contextlib.suppress(OSError):
            (group / NODE_LEAF / "cgroup.procs").write_text("0")
            divide(group)


def remove_node_group(keeper: int) -> None:
    """In the launcher, when a node has ended: remove its group. The scope itself goes when it is empty."""
    here = own_group()
    if here is None:
        return
    group = (here.parent if here.name == LEAF else here) / f"labs-{keeper}"
    for directory, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
