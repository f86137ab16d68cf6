"""A member's own volume: who it is, what it has taken part in, where the rest lies. Made once, on the first start.

The id is made here and nowhere else, so that a member whose volume was lost is another member: one that came back
under its old id would have forgotten what it voted for.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from labsupport.quorum import private_file

VERSION = 1  # of what is written here
LIMIT = 4096  # bytes of a file here


class VolumeError(Exception):
    """The volume cannot be used; says why and what to do."""


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    id: int
    seed: bytes

    def __repr__(self) -> str:
        return f"_Stored(id={self.id:x})"  # the seed is a secret


@dataclass(frozen=True)
class Volume:
    """Paths of a volume that is locked by this process, and what it says about the member."""

    directory: Path
    id: int
    seed: bytes
    lock: IO[bytes]

    def __repr__(self) -> str:
        return f"Volume({self.directory}, id={self.id:x})"

    @property
    def raft(self) -> Path:
        """Raft's log and snapshots."""
        return self.directory / "raft"

    @property
    def shares(self) -> Path:
        """Shares of the key."""
        return self.directory / "shares"

    @property
    def tls(self) -> Path:
        """The member's TLS key and certificate."""
        return self.directory / "tls"

    def enter(self, session: bytes) -> bool:
        """Note that this member takes part in a ceremony; False if it did so in an earlier life."""
        file = self.directory / "ceremony"
        if file.exists() and file.read_bytes() == session:
            return False
        private_file.write(file, session)
        return True

    def discard(self, epoch: int) -> None:
        """Remove the share of an epoch that never came into force."""
        (self.shares / f"epoch-{epoch}.share").unlink(missing_ok=True)

    def free(self) -> int:
        """Bytes that this user may still write."""
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """Give the volume free for another process."""
        self.lock.close()


def open_volume(directory: Path) -> Volume:
    """The member's volume, made if it is new. Raises VolumeError if another process has it or it is not ours."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = open(directory / "lock", "ab")  # noqa: SIM115 - held for as long as the process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise VolumeError(f"{directory} is in use: two members on one volume would vote twice") from None
    for name in ("raft", "shares", "tls"):
        (directory / name).mkdir(mode=0o700, exist_ok=True)
    file = directory / "member.secret"
    if not file.exists():
        if any((directory / "raft").iterdir()) or any((directory / "shares").iterdir()):
            raise VolumeError(
                f"{directory} has a log or shares, but no {file.name}: not a member's whole volume"
            )
        new = _Stored(VERSION, secrets.randbits(62) + 1, secrets.token_bytes(32))
        private_file.write(file, msgspec.msgpack.encode(new))
    try:
        stored = msgspec.msgpack.decode(private_file.read(file, LIMIT), type=_Stored)
    except private_file.Unusable as error:
        raise VolumeError(
            f"{error} Who has it can speak for this member: remove it and add a new one"
        ) from None
    except msgspec.MsgspecError as error:
        raise VolumeError(f"{file} is damaged ({error}): remove this member and add a new one") from error
    if stored.version != VERSION:
        raise VolumeError(f"{file} is of version {stored.version}, this release knows {VERSION}")
    return Volume(directory, stored.id, stored.seed, lock)
