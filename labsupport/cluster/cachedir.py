"""Working on the cache directory: its locks, removing trees, sizes on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labsupport.errors import LabsError


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on `file`, waiting for it if needed; the kernel frees it when its holder dies."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            from labsupport.console import phase  # rich takes longer to import than most calls here take

            with phase(f"waiting for another run that holds {file}"):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def explained_if_full(directory: Path) -> Iterator[None]:
    """Turn the system's "no space left" (or "quota exceeded") into a LabsError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LabsError(
            f"the disk is full: {error}",
            fix=f"free some space under {directory} (labs cache --prune removes what is not needed), then try again",
            anchor="disk-full",
        ) from error


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
