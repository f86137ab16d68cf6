"""Shamir's sharing of a secret (RFC 9591, appendix C.1) and Feldman's way to check a share (appendix C.2).

A polynomial of degree threshold-1 has the secret at 0; member i's share is its value at i. Any `threshold` shares give
the polynomial, fewer say nothing. Its coefficients times the generator can be shown to all: with them everyone checks a
share, and nobody learns one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from labsupport.quorum.keys.group import IDENTITY, ONE, ZERO, Point, Scalar, base


@dataclass(frozen=True)
class Polynomial:
    """Coefficients, the constant one (the secret) first."""

    coefficients: tuple[Scalar, ...]

    @classmethod
    def random(cls, secret: Scalar, threshold: int) -> Polynomial:
        """One that any `threshold` of its values determine, with `secret` at 0."""
        return cls((secret, *(Scalar.random() for _ in range(threshold - 1))))

    def at(self, identifier: int) -> Scalar:
        """The share of `identifier`. Errors: ValueError for 0, which would be the secret."""
        x = _coordinate(identifier)
        return reduce(lambda value, coefficient: value * x + coefficient, reversed(self.coefficients), ZERO)

    def commitment(self) -> tuple[Point, ...]:
        """Feldman's commitment: each coefficient times the generator."""
        return tuple(base(coefficient) for coefficient in self.coefficients)


def commitment_at(commitment: Sequence[Point], identifier: int) -> Point:
    """The public side of the share of `identifier`, from the commitment alone."""
    x = _coordinate(identifier)
    return reduce(lambda value, point: value * x + point, reversed(commitment), IDENTITY)


def add_commitments(weighted: Iterable[tuple[Scalar, Sequence[Point]]]) -> tuple[Point, ...]:
    """The commitment to a sum of polynomials, each times its weight; all are of one degree."""
    scaled = [[point * weight for point in commitment] for weight, commitment in weighted]
    return tuple(reduce(Point.__add__, column) for column in zip(*scaled, strict=True))


def lagrange(identifiers: Sequence[int], identifier: int) -> Scalar:
    """derive_interpolating_value (RFC 9591, section 4.2): by what a share counts in the value at 0.

    Errors: ValueError where one stands there twice or `identifier` is not among them.
    """
    if identifier not in identifiers or len(set(identifiers)) != len(identifiers):
        raise ValueError(f"{identifier} must be one of {list(identifiers)}, and each of these different.")
    mine = _coordinate(identifier)
    numerator, denominator = ONE, ONE
    for other in map(_coordinate, (other for other in identifiers if other != identifier)):
        numerator, denominator = numerator * other, denominator * (other - mine)
    return numerator * denominator.inverse()


def public_at_zero(shares: Mapping[int, Point]) -> Point:
    """The public key that these public shares make; meaningful for `threshold` of them or more."""
    identifiers = tuple(shares)
    return reduce(Point.__add__, (shares[i] * lagrange(identifiers, i) for i in identifiers), IDENTITY)


def _coordinate(identifier: int) -> Scalar:
    if identifier < 1:
        raise ValueError(f"{identifier} identifies no member: identifiers begin at 1, the secret is at 0.")
    return Scalar.of(identifier)
