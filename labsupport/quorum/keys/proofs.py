"""Two proofs that give away nothing but what they prove, each bound to a context, so it cannot be used elsewhere.

Possession: I know the secret of this point (Schnorr; RFC 8235). Same secret: two points have one secret over two bases
(Chaum and Pedersen, 1992). A point of one member cannot be claimed by another, nor can a wrong key be shown for one.
"""

from __future__ import annotations

from labsupport.quorum.keys.group import Point, Scalar, base
from labsupport.quorum.keys.wire import Message

DOMAIN = b"labs.example/quorum/proof/v1/"


class Possession(Message, frozen=True):
    """A Schnorr signature of a context, without the context."""

    nonce: Point
    response: Scalar


class SameSecret(Message, frozen=True):
    """The same with two bases at once."""

    nonce: Point
    other_nonce: Point
    response: Scalar


def prove_possession(secret: Scalar, context: bytes) -> Possession:
    """That whoever made this knew `secret`."""
    nonce = Scalar.random()
    challenge = _challenge(b"possession", context, base(secret), base(nonce))
    return Possession(base(nonce), nonce + challenge * secret)


def check_possession(public: Point, proof: Possession, context: bytes) -> bool:
    """Whether the prover knew the secret of `public`."""
    challenge = _challenge(b"possession", context, public, proof.nonce)
    return base(proof.response) == proof.nonce + public * challenge


def prove_same_secret(secret: Scalar, other_base: Point, context: bytes) -> SameSecret:
    """That `other_base` times `secret` has the secret of the public point of `secret`."""
    nonce = Scalar.random()
    nonces = base(nonce), other_base * nonce
    challenge = _challenge(b"same-secret", context, base(secret), other_base, other_base * secret, *nonces)
    return SameSecret(*nonces, nonce + challenge * secret)


def check_same_secret(
    public: Point, other_base: Point, product: Point, proof: SameSecret, context: bytes
) -> bool:
    """Whether `product` is `other_base` times the secret of `public`."""
    challenge = _challenge(
        b"same-secret", context, public, other_base, product, proof.nonce, proof.other_nonce
    )
    return (
        base(proof.response) == proof.nonce + public * challenge
        and other_base * proof.response == proof.other_nonce + product * challenge
    )


def _challenge(name: bytes, context: bytes, *points: Point) -> Scalar:
    size = len(context).to_bytes(8, "little")
    return Scalar.hashed(DOMAIN, name, size, context, *(point.encode() for point in points))
