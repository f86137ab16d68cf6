"""How messages become bytes: MessagePack by msgspec, each field of a declared type and size. Nothing is unpickled.

A message holds real points and scalars: bytes that are none are refused while decoding, before any code sees them.
"""

from __future__ import annotations

from typing import Annotated, Any, Self, TypeVar

import msgspec

from labsupport.quorum.keys.group import SIZE, Point, Scalar

MEMBERS = 9  # the most that take part in anything here: seven, and two that come or go
MESSAGE = 64 * 1024  # bytes of one message

Identifier = Annotated[int, msgspec.Meta(ge=1, le=255)]
Epoch = Annotated[int, msgspec.Meta(ge=1, lt=2**32)]
Threshold = Annotated[int, msgspec.Meta(ge=2, le=MEMBERS)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=SIZE, max_length=SIZE)]
Bytes64 = Annotated[bytes, msgspec.Meta(min_length=2 * SIZE, max_length=2 * SIZE)]
Points = Annotated[tuple[Point, ...], msgspec.Meta(max_length=MEMBERS)]
Identifiers = Annotated[tuple[Identifier, ...], msgspec.Meta(max_length=MEMBERS)]

T = TypeVar("T")


class InvalidMessage(ValueError):
    """Bytes that are no such message, or too many of them."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What members send and store."""

    def to_bytes(self) -> bytes:
        """The encoding; the same message always gives the same bytes."""
        return msgspec.msgpack.encode(self, enc_hook=_encode)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The message in `data`. Errors: InvalidMessage says which field is wrong."""
        return read(cls, data)


def read(kind: type[T], data: bytes) -> T:
    """The message in `data`, of one kind or (a union) of several. Errors: InvalidMessage."""
    name = getattr(kind, "__name__", "One of several messages")
    if len(data) > MESSAGE:
        raise InvalidMessage(f"{name}: {len(data)} bytes, at most {MESSAGE} are read.")
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_decode)
    except (msgspec.DecodeError, RecursionError, OverflowError) as error:
        raise InvalidMessage(f"{name}: {error}") from None


def _encode(value: Any) -> bytes:
    if isinstance(value, Point | Scalar):
        return value.encode()
    raise NotImplementedError(f"{type(value).__name__} has no form on the wire.")


def _decode(kind: type, value: Any) -> Point | Scalar:
    if kind not in (Point, Scalar) or not isinstance(value, bytes):
        raise ValueError("Expected the bytes of a point or of a scalar.")
    return Point.decode(value) if kind is Point else Scalar.decode(value)
