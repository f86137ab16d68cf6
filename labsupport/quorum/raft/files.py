"""The few operations on files that the storage needs: narrow enough that a test can lose all that was not synced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class File(Protocol):
    """An open file that is written at its end."""

    def write(self, data: bytes) -> None:
        """Write all of it, or raise OSError with a part of it written."""

    def sync(self) -> None:
        """Return once all that was written is on the disk (fsync)."""

    def truncate(self, size: int) -> None:
        """Cut the file off; what is written next comes there."""

    def close(self) -> None:
        """Close it; that syncs nothing."""


class Files(Protocol):
    """One directory. What was created, renamed or removed is on the disk only after `sync`."""

    def names(self) -> list[str]:
        """Of the files that are there."""

    def read(self, name: str) -> bytes:
        """All of it."""

    def create(self, name: str) -> File:
        """A new and empty file, in place of one that has that name."""

    def append(self, name: str) -> File:
        """A file that is there."""

    def rename(self, old: str, new: str) -> None:
        """Atomic, also where `new` is there."""

    def remove(self, name: str) -> None:
        """Take it away."""

    def sync(self) -> None:
        """Return once the directory is on the disk (fsync)."""


class DirectoryFiles:
    """Those of a real directory, which is made (0700) if it is not there; files are 0600."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """Of the files that are there."""
        return sorted(path.name for path in self._directory.iterdir())

    def read(self, name: str) -> bytes:
        """All of it."""
        return (self._directory / name).read_bytes()

    def create(self, name: str) -> DescriptorFile:
        """A new and empty file."""
        return DescriptorFile(self._open(name, os.O_CREAT | os.O_TRUNC))

    def append(self, name: str) -> DescriptorFile:
        """A file that is there."""
        return DescriptorFile(self._open(name, 0))

    def _open(self, name: str, flags: int) -> int:
        return os.open(self._directory / name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)

    def rename(self, old: str, new: str) -> None:
        """Atomic."""
        (self._directory / old).replace(self._directory / new)

    def remove(self, name: str) -> None:
        """Take it away."""
        (self._directory / name).unlink(missing_ok=True)

    def sync(self) -> None:
        """fsync."""
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class DescriptorFile:
    """A file by its descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        """Write all of it."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def sync(self) -> None:
        """fsync."""
        os.fsync(self._descriptor)

    def truncate(self, size: int) -> None:
        """Cut it off."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)
