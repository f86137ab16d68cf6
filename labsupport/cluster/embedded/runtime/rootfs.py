"""Building a container's root file system, as the first process of its mount namespace.

The root is an overlay of the course root and a directory of the container's own. Everything that comes from
the node is taken as a detached tree first; the volumes are attached only after the old root is gone, so a
symbolic link that a volume or another container left behind resolves inside the container, never on the node.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from labsupport.cluster.embedded import linux
from labsupport.cluster.embedded.runtime.spec import PRIVATE, SHARED, Mount, Root

_NO_TRICKS = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_NEEDED = ("proc", "sys", "dev", "etc", "tmp", "run", "root", "var/log", "var/tmp", "opt", "mnt", "home")


def build(root: Root, stage: Path, *, own_group: bool = False) -> None:
    """Enter a mount namespace, build the root at `stage` in it and make it "/". Raises OSError.

    `own_group`: the caller has a control group namespace of its own, which is to be seen in /sys/fs/cgroup.
    """
    linux.unshare(linux.CLONE_NEWNS)
    # A tree that is to stay shared with the node must be taken before everything else is cut off.
    trees = {mount: linux.open_tree(mount.source) for mount in root.mounts if mount.propagation == SHARED}
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)
    for mount in root.mounts:
        if mount not in trees:
            trees[mount] = linux.open_tree(mount.source) if not mount.lower else _image_tree(mount, stage)
    devices = {name: linux.open_tree(f"/dev/{name}") for name in DEVICES}
    # At the stage itself, so that no mount of the node lies between the container's root and "/".
    new_root = _mount_overlay(root, stage)
    for name in _NEEDED:
        (new_root / name).mkdir(parents=True, exist_ok=True)
    # The kernel allows a new proc and sysfs only while a full one is visible, that is, before the old root goes.
    linux.mount("proc", new_root / "proc", "proc", _NO_TRICKS)
    _mount_sys(new_root / "sys", readonly=not root.privileged, own_group=own_group)
    linux.mount("tmpfs", new_root / "dev", "tmpfs", linux.MS_NOSUID, "mode=755,size=65536k")
    (new_root / "dev/shm").mkdir()
    linux.mount(root.shm, new_root / "dev/shm", None, linux.MS_BIND)
    linux.enter_root(new_root)
    _fill_dev(devices)
    for mount in sorted(root.mounts, key=lambda mount: mount.target.rstrip("/").count("/")):
        _attach(mount, trees[mount])
    if root.readonly:
        linux.make_readonly("/", recursive=False)
    for path in root.readonly_paths:
        if os.path.exists(path):  # noqa: PTH110 - called before anything of the container runs, speed counts
            linux.mount(path, path, None, linux.MS_BIND | linux.MS_REC)
            linux.make_readonly(path)
    for path in root.masked:
        _mask(path)


def _mount_overlay(root: Root, stage: Path) -> Path:
    """Mount the overlay and return where: upper layer on disk, or in memory where the disk cannot carry one."""
    layer = Path(root.layer)
    try:
        _overlay(root.lower, layer, stage)
    except OSError:
        # The state directory may itself lie on an overlay, which cannot be an upper layer.
        linux.mount("tmpfs", stage, "tmpfs", linux.MS_NODEV, "mode=700")
        new_root = stage / "root"
        new_root.mkdir()
        _overlay(root.lower, stage, new_root)
        return new_root
    return stage


def _image_tree(mount: Mount, stage: Path) -> int:
    """What an image volume shows, as a detached tree; `stage` is free again afterwards."""
    layers = mount.lower.split(":")
    if len(layers) == 1:
        linux.mount(layers[0], stage, None, linux.MS_BIND)
    else:
        linux.mount(
            "overlay", stage, "overlay", linux.MS_RDONLY, f"lowerdir={mount.lower},userxattr"
        )  # fmt: skip
    try:
        source = (stage / mount.source).resolve(strict=True)
        if not source.is_relative_to(stage.resolve()):
            raise OSError(f"{mount.source} leads out of the image")
        return linux.open_tree(source)
    finally:
        linux.umount(stage)


def _overlay(lower: str, layer: Path, target: Path) -> None:
    for name in ("upper", "work"):
        (layer / name).mkdir(exist_ok=True)
    (layer / "upper").chmod(0o755)
    linux.mount(
        "overlay", target, "overlay", 0,
        f"lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work,userxattr",
    )  # fmt: skip


def _mount_sys(target: Path, *, readonly: bool, own_group: bool) -> None:
    flags = _NO_TRICKS | (linux.MS_RDONLY if readonly else 0)
    try:
        linux.mount("sysfs", target, "sysfs", flags)
    except OSError:
        # A container in the node's network may not mount its own; it sees the node's.
        linux.mount("/sys", target, None, linux.MS_BIND | linux.MS_REC)
        if readonly:
            linux.make_readonly(target)
    if own_group:
        linux.mount("cgroup2", target / "fs/cgroup", "cgroup2", flags)


def _fill_dev(devices: dict[str, int]) -> None:
    for name, tree in devices.items():
        Path("/dev", name).touch()
        linux.move_mount(tree, f"/dev/{name}")
        os.close(tree)
    Path("/dev/pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=0620"
    linux.mount("devpts", "/dev/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, options)
    for name, target in _LINKS.items():
        Path("/dev", name).symlink_to(target)
    Path("/dev/mqueue").mkdir()
    with contextlib.suppress(OSError):  # refused in the node's IPC namespace; nothing here depends on it
        linux.mount("mqueue", "/dev/mqueue", "mqueue", _NO_TRICKS)


def _attach(mount: Mount, tree: int) -> None:
    target = Path(mount.target)
    if stat.S_ISDIR(os.fstat(tree).st_mode):
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    linux.move_mount(tree, target)
    # Set on the attached mount: a detached tree has no parent whose propagation it could be checked against.
    attributes = linux.MOUNT_ATTR_RDONLY if mount.readonly else 0
    if mount.lower:
        attributes |= (
            linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOEXEC
        )  # what Kubernetes promises of an image volume
    if attributes:
        linux.set_mount_attributes(target, attributes, recursive=mount.recursive_readonly)
    if mount.propagation == PRIVATE:
        linux.mount(None, target, None, linux.MS_REC | linux.MS_PRIVATE)
    os.close(tree)


def _mask(path: str) -> None:
    """Hide a file or directory that exists; what a kernel does not have needs no hiding."""
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            linux.mount("tmpfs", path, "tmpfs", linux.MS_RDONLY | _NO_TRICKS, "size=0k")
        else:
            linux.mount("/dev/null", path, None, linux.MS_BIND)
    except FileNotFoundError:
        return
