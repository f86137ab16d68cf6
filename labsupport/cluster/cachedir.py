"""What is in the cache directory, how large it is, and what of it can go."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labsupport.errors import LabsError

Kind = Literal["program", "course-root", "build", "download", "tool", "other"]
# Directories of the cache: what each thing in them is.
KINDS: dict[str, Kind] = {
    "bin": "program",
    "course-root": "course-root",
    "build": "build",
    "downloads": "download",
    "uv": "tool",
}
LOCKS = ("bin/lock", "course-root/lock")  # held by whoever adds to the cache


@dataclass(frozen=True)
class Entry:
    """One thing in the cache: its size in bytes on the disk, and whether it is needed as it is now.

    What is not needed can go: an older version, or scratch that only makes the next build or download shorter.
    """

    kind: Kind
    path: Path
    bytes: int
    needed: bool


def entries(cache_dir: Path, in_use: Iterable[Path] | None = None) -> list[Entry]:
    """All that is in the cache, by kind and name. `in_use`: paths that clusters use (default: `used_by_clusters`)."""
    used = set(used_by_clusters() if in_use is None else in_use) | _current(cache_dir)
    found = []
    for place, kind in KINDS.items():
        for path in _things(cache_dir / place):
            needed = kind == "tool" or any(path == other or path in other.parents for other in used)
            found.append(Entry(kind, path, size_of(path), needed))
    others = [path for path in _things(cache_dir) if path.name not in KINDS]
    found += [Entry("other", path, size_of(path), True) for path in others]  # not ours to judge
    return found


def prune(cache_dir: Path, in_use: Iterable[Path] | None = None) -> list[Entry]:
    """Remove what is not needed and return it. LabsError while another run adds to the cache."""
    with ExitStack() as stack:
        for name in LOCKS:
            if (cache_dir / name).parent.is_dir():
                stack.enter_context(locked(cache_dir / name, wait=False))
        gone = [entry for entry in entries(cache_dir, in_use) if not entry.needed]
        for entry in gone:
            if entry.path.is_dir() and not entry.path.is_symlink():
                remove_tree(entry.path)
            else:
                entry.path.unlink()
    return gone


def used_by_clusters() -> set[Path]:
    """The programs and course roots that the clusters of this user name in their launch.json."""
    from labsupport.cluster import directory

    used: set[Path] = set()
    for name in directory.existing():
        try:
            launch = json.loads((directory.ClusterDirectory(name).root / "launch.json").read_bytes())
            used |= {Path(launch["course_root"]), *map(Path, launch["programs"].values())}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # not started yet, or half-written: it will ask for its programs anew
    return used


def _current(cache_dir: Path) -> set[Path]:
    """What the next `labs up` would take from the cache."""
    from labsupport.cluster import courseroot, versions
    from labsupport.cluster.binaries import recorded
    from labsupport.cluster.embedded import idmap

    current = set(recorded(cache_dir).values())
    for name in versions.load().programs.keys() - recorded(cache_dir).keys():
        version = versions.program(name).version
        current |= {path.parent for path in (cache_dir / "bin").glob(f"{name}-{version}-*/{name}")}
    try:
        key = courseroot.digest(courseroot.load(), idmap.for_this_user().owner_base)
        current.add(cache_dir / "course-root" / key)
    except LabsError:
        pass  # none for this machine
    return current


def _things(directory: Path) -> list[Path]:
    """What a directory of the cache holds, without locks and our index of programs."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.name not in ("lock", "ready.json"))


@contextmanager
def locked(file: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on `file`; the kernel frees it when its holder dies.

    If another process holds it: wait for it, or LabsError if not `wait`.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise LabsError(
                    f"another run of labs is adding to {file.parent}",
                    fix="wait for it or end it, then try again",
                ) from None
            from labsupport.console import phase  # rich takes longer to import than most calls here take

            with phase(f"waiting for another run that holds {file}"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a tree, also where a directory in it is not writable for its owner."""
    for directory, _, _ in os.walk(path):
        status = os.lstat(directory)
        if status.st_mode & 0o700 != 0o700 and status.st_uid == os.geteuid():
            Path(directory).chmod(0o700)
    shutil.rmtree(path)


def size_of(path: Path) -> int:
    """Bytes that a file or tree takes on the disk (0 if it is not there); a file with several names counts once."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [os.fspath(path)]  # texts and scandir: a build cache has a hundred thousand files
    while pending:
        current = pending.pop()
        try:
            status = os.lstat(current)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            total += status.st_blocks * 512
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(current) as entries:
                    pending.extend(entry.path for entry in entries)
        except OSError:
            continue  # gone in the meantime, or not ours to read
    return total
