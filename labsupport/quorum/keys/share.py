"""What a member keeps on its own volume: its share of each epoch, and its identity. Readable by its owner alone.

A file is there whole or not at all: it is written beside, flushed, and renamed. A share of a new epoch never replaces
the old one: both stay until enough members have the new one, and then `forget` is called. Errors never show a secret.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from labsupport.quorum.keys.frost import KeyPackage, PublicKeyPackage
from labsupport.quorum.keys.group import Scalar
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.keys.wire import Bytes32, Identifier, InvalidMessage, Message

MODE = 0o600
HEADER = b"labs.example quorum secret, format 1\n"  # the number changes with what follows it
_HEAD = len(HEADER)
LIMIT = 16 * 1024  # bytes of a file; nine members' have less than 1,000
EPOCH = re.compile(r"epoch-(\d+)\.share")
IDENTITY_FILE = "identity.secret"

M = TypeVar("M", bound=Message)


class ShareError(Exception):
    """A file that is missing, is not for us, or is not what it should be; says what to do."""


class _StoredShare(Message, frozen=True, tag="share"):
    identifier: Identifier
    share: Scalar
    public: PublicKeyPackage


class _StoredIdentity(Message, frozen=True, tag="identity"):
    identifier: Identifier
    seed: Bytes32

    def __repr__(self) -> str:
        return f"_StoredIdentity({self.identifier})"


def save(directory: Path, key: KeyPackage) -> Path:
    """Keep a share; when this returns it outlives a loss of power. Errors: ShareError, OSError (a full disk)."""
    path = _path(directory, key.public.epoch)
    if path.exists() and load(directory, key.public.epoch) != key:
        raise ShareError(
            f"{path} has another share of epoch {key.public.epoch}. Two ceremonies made one epoch; nothing was "
            "changed. Find out which of them the members agreed on, and remove the other's file."
        )
    _write(path, _StoredShare(key.identifier, key.share, key.public))
    return path


def load(directory: Path, epoch: int) -> KeyPackage:
    """The share of an epoch. Errors: ShareError."""
    path = _path(directory, epoch)
    stored = _read(path, _StoredShare)
    if stored.public.epoch != epoch:
        raise ShareError(f"{path} is of epoch {stored.public.epoch}: it was renamed. Give it its name back.")
    try:
        return KeyPackage(stored.identifier, stored.share, stored.public)
    except ValueError as error:
        raise ShareError(f"{path}: {error} {_DAMAGED}") from None


def epochs(directory: Path) -> tuple[int, ...]:
    """The epochs that there are shares of, the oldest first."""
    found = (EPOCH.fullmatch(path.name) for path in directory.iterdir())
    return tuple(sorted(int(match[1]) for match in found if match))


def forget(directory: Path, before: int) -> None:
    """Remove shares of epochs before this one, once a threshold of members has it."""
    for epoch in (each for each in epochs(directory) if each < before):
        _path(directory, epoch).unlink()
    _flush(directory)


def save_identity(directory: Path, identity: Identity) -> Path:
    """Keep who this member is. Errors: ShareError where another one is there."""
    path = directory / IDENTITY_FILE
    if path.exists() and load_identity(directory) != identity:
        raise ShareError(f"{path} is another identity. A member keeps its first one: use load_identity.")
    _write(path, _StoredIdentity(identity.identifier, identity.seed))
    return path


def load_identity(directory: Path) -> Identity:
    """Who this member is. Errors: ShareError."""
    stored = _read(directory / IDENTITY_FILE, _StoredIdentity)
    return Identity(stored.identifier, stored.seed)


_DAMAGED = (
    "The file is damaged. Keep it aside, let the other members hand the key on without this one's share, "
    "and take part as a receiver."
)


def _path(directory: Path, epoch: int) -> Path:
    return directory / f"epoch-{epoch}.share"


def _write(path: Path, stored: Message) -> None:
    body = stored.to_bytes()
    for left in path.parent.glob(f".{path.name}.*"):  # by a writer that was ended in the middle
        left.unlink()
    beside = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    # The mode is set as the file is made: there is no moment in which others can open it.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(HEADER + hashlib.sha256(body).digest() + body)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
    _flush(path.parent)


def _flush(directory: Path) -> None:
    """A name is on the disk once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, kind: type[M]) -> M:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ShareError(
            f"There is no {path}. Is this the member's own volume, and the right epoch?"
        ) from None
    except OSError as error:
        raise ShareError(
            f"{path} cannot be opened: {error.strerror}. It must be a file of this user's."
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        mode = stat.S_IMODE(found.st_mode)
        if not stat.S_ISREG(found.st_mode):
            raise ShareError(f"{path} is no regular file. Find out who put it there.")
        if found.st_uid != os.geteuid() or mode & 0o077:
            raise ShareError(
                f"{path} belongs to user {found.st_uid} and has mode {mode:04o}; only user {os.geteuid()} may read "
                "it (0600). Others may have its share: after chown and chmod, hand the key on to make it worthless."
            )
        data = file.read(LIMIT + 1)
    header, digest, body = data[:_HEAD], data[_HEAD : _HEAD + 32], data[_HEAD + 32 :]
    if header != HEADER or len(data) > LIMIT:
        raise ShareError(
            f"{path} is not of the format {HEADER.decode().strip()!r}. Another version wrote it, or:"
            f" {_DAMAGED}"
        )
    if hashlib.sha256(body).digest() != digest:
        raise ShareError(f"{path} does not have the digest that it was written with. {_DAMAGED}")
    try:
        return kind.from_bytes(body)
    except InvalidMessage as error:
        raise ShareError(f"{path}: {error}. {_DAMAGED}") from None
