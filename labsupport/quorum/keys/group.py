"""The group that Ed25519 signs in (RFC 8032, edwards25519), by libsodium: scalars, points and their encodings.

RFC 9591, section 6.1 says what to refuse: a scalar that is not reduced, a point that is not canonical, is the identity
or is outside of the subgroup of prime order. All arithmetic is libsodium's, in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NoReturn

from nacl import bindings as sodium

ORDER = 2**252 + 27742317777372353535851937790883648493  # how many elements the group has
SIZE = 32  # bytes of an encoded scalar or point


class InvalidEncoding(ValueError):
    """Bytes that are no scalar or no point of this group."""


# Not dataclasses: msgspec would write one's fields, past the checks of `decode`.
class Scalar:
    """A number modulo the group's order. Many are secret, so none shows itself: only `encode` gives the value."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded  # canonical; bytes from others come through `decode`

    @classmethod
    def of(cls, number: int) -> Scalar:
        """The scalar of a public number (an identifier, a test's value)."""
        return cls((number % ORDER).to_bytes(SIZE, "little"))

    @classmethod
    def decode(cls, data: bytes) -> Scalar:
        """DeserializeScalar. Errors: InvalidEncoding, also for a number that is not below the order."""
        if len(data) != SIZE or not hmac.compare_digest(_reduce(data.ljust(2 * SIZE, b"\0")), data):
            raise InvalidEncoding("These bytes are no scalar below the group's order.")
        return cls(bytes(data))

    @classmethod
    def random(cls) -> Scalar:
        """One that nobody can foresee, never zero: 64 random bytes, reduced."""
        found = cls(_reduce(secrets.token_bytes(2 * SIZE)))
        return cls.random() if found == ZERO else found

    @classmethod
    def hashed(cls, *parts: bytes) -> Scalar:
        """SHA-512 of the parts as they stand, reduced. Their borders are the caller's to make clear."""
        return cls(_reduce(hashlib.sha512(b"".join(parts)).digest()))

    def encode(self) -> bytes:
        """SerializeScalar: 32 bytes, little-endian. What becomes of a secret's bytes is the caller's to answer for."""
        return self._encoded

    def inverse(self) -> Scalar:
        """1/self. Errors: ZeroDivisionError."""
        if self == ZERO:
            raise ZeroDivisionError("Zero has no inverse.")
        return Scalar(sodium.crypto_core_ed25519_scalar_invert(self._encoded))

    def __add__(self, other: Scalar) -> Scalar:
        return Scalar(sodium.crypto_core_ed25519_scalar_add(self._encoded, other._encoded))

    def __sub__(self, other: Scalar) -> Scalar:
        return Scalar(sodium.crypto_core_ed25519_scalar_sub(self._encoded, other._encoded))

    def __mul__(self, other: Scalar) -> Scalar:
        return Scalar(sodium.crypto_core_ed25519_scalar_mul(self._encoded, other._encoded))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scalar) and hmac.compare_digest(self._encoded, other._encoded)

    __hash__ = None  # type: ignore[assignment]  # a hash table would compare secrets in its own time

    def __repr__(self) -> str:
        return "Scalar(hidden)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A scalar may be a secret: it is neither pickled nor copied.")


class Point:
    """An element of the group. Bytes from others become one by `decode` alone, which checks them."""

    __slots__ = ("_encoded",)

    def __init__(self, encoded: bytes) -> None:
        self._encoded = encoded

    @classmethod
    def decode(cls, data: bytes) -> Point:
        """DeserializeElement. Errors: InvalidEncoding."""
        if len(data) != SIZE or not sodium.crypto_core_ed25519_is_valid_point(bytes(data)):
            raise InvalidEncoding(
                "These bytes are no point of the group of prime order, or are its identity."
            )
        return cls(bytes(data))

    def encode(self) -> bytes:
        """SerializeElement: 32 bytes. Errors: InvalidEncoding for the identity, which is never sent."""
        if self == IDENTITY:
            raise InvalidEncoding("The identity is not encoded (RFC 9591, section 6.1).")
        return self._encoded

    def __add__(self, other: Point) -> Point:
        return Point(sodium.crypto_core_ed25519_add(self._encoded, other._encoded))

    def __sub__(self, other: Point) -> Point:
        return Point(sodium.crypto_core_ed25519_sub(self._encoded, other._encoded))

    def __mul__(self, scalar: Scalar) -> Point:
        if self == IDENTITY or scalar == ZERO:  # libsodium calls both an error
            return IDENTITY
        return Point(sodium.crypto_scalarmult_ed25519_noclamp(scalar.encode(), self._encoded))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self._encoded == other._encoded

    def __hash__(self) -> int:
        return hash(self._encoded)

    def __repr__(self) -> str:
        return f"Point({self._encoded.hex()})"


def base(scalar: Scalar) -> Point:
    """ScalarBaseMult: `scalar` times the generator, the public side of a secret."""
    return (
        IDENTITY if scalar == ZERO else Point(sodium.crypto_scalarmult_ed25519_base_noclamp(scalar.encode()))
    )


def _reduce(data: bytes) -> bytes:
    reduced: bytes = sodium.crypto_core_ed25519_scalar_reduce(data)
    return reduced


ZERO, ONE = Scalar.of(0), Scalar.of(1)
IDENTITY = Point(b"\1".ljust(SIZE, b"\0"))
