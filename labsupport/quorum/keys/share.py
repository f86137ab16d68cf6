"""What a member keeps on its own volume of the key: its share of each epoch, readable by its owner alone.

A share of a new epoch never replaces the old one: both stay until enough members have the new one, and then `forget` is
called. Errors never show a secret.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TypeVar

from labsupport.quorum import private_file
from labsupport.quorum.keys.frost import KeyPackage, PublicKeyPackage
from labsupport.quorum.keys.group import Scalar
from labsupport.quorum.keys.wire import Identifier, InvalidMessage, Message

HEADER = b"labs.example quorum secret, format 1\n"  # the number changes with what follows it
_HEAD = len(HEADER)
LIMIT = 16 * 1024  # bytes of a file; nine members' have less than 1,000
EPOCH = re.compile(r"epoch-(\d+)\.share")

M = TypeVar("M", bound=Message)


class ShareError(Exception):
    """A file that is missing, is not for us, or is not what it should be; says what to do."""


class _StoredShare(Message, frozen=True, tag="share"):
    identifier: Identifier
    share: Scalar
    public: PublicKeyPackage


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
    private_file.flush(directory)


_DAMAGED = (
    "The file is damaged. Keep it aside, let the other members hand the key on without this one's share, "
    "and take part as a receiver."
)


def _path(directory: Path, epoch: int) -> Path:
    return directory / f"epoch-{epoch}.share"


def _write(path: Path, stored: Message) -> None:
    body = stored.to_bytes()
    private_file.write(path, HEADER + hashlib.sha256(body).digest() + body)


def _read(path: Path, kind: type[M]) -> M:
    try:
        data = private_file.read(path, LIMIT + 1)
    except FileNotFoundError:
        raise ShareError(
            f"There is no {path}. Is this the member's own volume, and the right epoch?"
        ) from None
    except private_file.TooOpen as error:
        raise ShareError(
            f"{error} Others may have its share: after chown and chmod, hand the key on to make it worthless."
        ) from None
    except private_file.Unusable as error:
        raise ShareError(str(error)) from None
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
