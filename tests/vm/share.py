"""The machine's second disk: a clone of the course, the cached programs, and the script to run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from labsupport.cluster import versions
from labsupport.cluster.binaries import store
from labsupport.cluster.cachedir import size_of

from . import image

# Everything on the disk is to be the learner's, whose id in the machine is 1000: mke2fs sees the caller's files so from
# a user namespace that maps him to that id.
AS_LEARNER = ("unshare", "--map-user=1000", "--map-group=1000", "--")
ROOM = 512 << 20  # bytes on the disk beside what is put there


def programs(cache: Path) -> tuple[dict[str, Path], list[str]]:
    """Directories of the embedded cluster's programs in the cache, and the names of those that are not there."""
    found: dict[str, Path] = {}
    for name in versions.names("embedded"):
        program = store.find(cache, name, versions.program(name).version)[0]
        if program is not None:
            found[name] = program.path.parent
    return found, [name for name in versions.names("embedded") if name not in found]


def make(scratch: Path, *, clone: Path, script: Path, binaries: dict[str, Path]) -> Path:
    """Make the disk in `scratch`, which is on one file system with the cache where the copies are to cost nothing."""
    tree = scratch / "share"
    (tree / "bin").mkdir(parents=True)
    for directory in binaries.values():
        shutil.copytree(directory, tree / "bin" / directory.name, copy_function=_link_or_copy)
    shutil.copytree(clone, tree / "course", symlinks=True)
    shutil.copy(image.INSIDE / "start", tree / "start")
    shutil.copy(script, tree / f"script{script.suffix}")
    disk = scratch / "share.ext4"
    image.write_disk(tree, disk, f"{(size_of(tree) + ROOM) >> 20}M", prefix=AS_LEARNER)
    shutil.rmtree(tree)
    return disk


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
