"""A disk that forgets what was not synced, fills up, fails, and stops at any operation."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from random import Random

from labsupport.quorum.raft.framing import SECTOR


class Crash(Exception):
    """The process ends here."""


@dataclass
class Content:
    """A file: what a reader sees, and what has reached the disk."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass
class Disk:
    """Files of one directory; names reach the disk when the directory is synced.

    Operations that change something are counted; `fail_at` is the number of the one that fails: by a `Crash`, or by
    `error` (an errno). A write that fails or crashes has written `partly` of its bytes.
    """

    files: dict[str, Content] = field(default_factory=dict)
    synced_names: dict[str, Content] = field(default_factory=dict)
    operations: int = 0
    fail_at: int | None = None
    error: int | None = None
    for_good: bool = False  # every operation from `fail_at` on fails
    partly: float = 0.5
    unrenamed: bool = False  # crash before the rename has happened, not after
    trace: list[str] = field(default_factory=list)

    def operation(self, what: str) -> bool:
        """Count one; True if it fails (and `_fail` is to be called once its part is done)."""
        self.operations += 1
        self.trace.append(what)
        if self.fail_at is None:
            return False
        return self.operations == self.fail_at or (self.for_good and self.operations > self.fail_at)

    def fail(self) -> None:
        if self.error is None:
            raise Crash
        raise OSError(self.error, errno.errorcode[self.error])

    def lose_power(self, random: Random | None = None) -> None:
        """Keep what was synced; of the rest `random` chooses what stays: nothing, a part, parts with holes of zeros."""
        for content in [*self.files.values(), *self.synced_names.values()]:
            content.seen = bytearray(_left(content, random))
            content.synced = bytes(content.seen)
        if random is not None and random.random() < 0.5:
            self.synced_names = dict(self.files)  # directories may reach the disk unasked
        self.files = dict(self.synced_names)

    # The interface of files.Files.

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, name: str) -> bytes:
        return bytes(self.files[name].seen)

    def create(self, name: str) -> OpenFile:
        if self.operation(f"create {name}"):
            self.fail()
        self.files[name] = Content()
        return OpenFile(self, self.files[name], name)

    def append(self, name: str) -> OpenFile:
        return OpenFile(self, self.files[name], name)

    def rename(self, old: str, new: str) -> None:
        if self.operation(f"rename {new}"):
            if self.error is None and not self.unrenamed:
                self.files[new] = self.files.pop(old)
            self.fail()
        self.files[new] = self.files.pop(old)

    def remove(self, name: str) -> None:
        if self.operation(f"remove {name}"):
            self.fail()
        self.files.pop(name, None)

    def sync(self) -> None:
        if self.operation("sync directory"):
            self.fail()
        self.synced_names = dict(self.files)


@dataclass
class OpenFile:
    disk: Disk
    content: Content
    name: str

    def write(self, data: bytes) -> None:
        if self.disk.operation(f"write {self.name}"):
            self.content.seen += data[: int(len(data) * self.disk.partly)]
            self.disk.fail()
        self.content.seen += data

    def sync(self) -> None:
        if self.disk.operation(f"sync {self.name}"):
            self.disk.fail()
        self.content.synced = bytes(self.content.seen)

    def truncate(self, size: int) -> None:
        if (
            self.disk.operation(f"truncate {self.name}") and self.disk.error != errno.ENOSPC
        ):  # it needs no room
            self.disk.fail()
        del self.content.seen[size:]

    def close(self) -> None:
        """Nothing is synced by it."""


def _left(content: Content, random: Random | None) -> bytes:
    synced, seen = content.synced, bytes(content.seen)
    if random is None or seen[: len(synced)] != synced:
        return synced
    end = random.randrange(len(synced), len(seen) + 1)
    if random.random() < 0.3:  # the file's length came first, its sectors in any order
        left = bytearray(seen)
        for edge in range(len(synced) // SECTOR * SECTOR, len(seen), SECTOR):
            begin, stop = max(edge, len(synced)), min(edge + SECTOR, len(seen))
            if random.random() < 0.5:
                left[begin:stop] = bytes(stop - begin)
        return bytes(left)
    return seen[:end]
