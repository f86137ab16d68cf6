"""A file that its owner alone may read: there whole or not at all, on the disk when it is written.

Keys, shares and who a member is are kept so; back-ups too, which have nothing of the key but all values.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

MODE = 0o600


class Unusable(Exception):
    """A file that is missing, or is not a file of this user's; says which."""


class TooOpen(Unusable):
    """A file that others may have read."""


def write(path: Path, data: bytes) -> None:
    """Replace the file at once; when this returns it outlives a loss of power. Errors: OSError, and it is as before."""
    for left in path.parent.glob(f".{path.name}.*"):  # by a writer that was ended in the middle
        left.unlink()
    beside = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    # The mode is set as the file is made: there is no moment in which others can open it.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
    flush(path.parent)


def read(path: Path, limit: int) -> bytes:
    """What is in the file, at most `limit` bytes. Errors: FileNotFoundError, Unusable, TooOpen."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(
            f"{path} cannot be opened: {error.strerror}. It must be a file of this user's."
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise Unusable(f"{path} is no regular file. Find out who put it there.")
        if found.st_uid != os.geteuid() or mode & 0o077:
            raise TooOpen(
                f"{path} belongs to user {found.st_uid} and has mode {mode:04o}; only user {os.geteuid()} may read it "
                "(0600)."
            )
        return file.read(limit)


def flush(directory: Path) -> None:
    """A name is on the disk once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
