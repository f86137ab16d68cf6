"""FROST(Ed25519, SHA-512): any threshold of members make an ordinary Ed25519 signature (RFC 9591; names as there).

Round one: each signer makes two nonces and shows their commitments. Round two: each signs a share over the message and
all commitments. Whoever coordinates adds the shares up, and where the sum is no signature finds whose share is wrong.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, NoReturn

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from labsupport.quorum.keys.group import IDENTITY, SIZE, ZERO, InvalidEncoding, Point, Scalar, base
from labsupport.quorum.keys.polynomial import lagrange, public_at_zero
from labsupport.quorum.keys.wire import MEMBERS, Bytes32, Epoch, Identifier, Message, Threshold

CONTEXT = b"FROST-ED25519-SHA512-v1"  # contextString, section 6.1


class SigningRefused(ValueError):
    """A signer does not sign this, or a nonce was used before."""


class NoSignature(Exception):
    """The shares make no signature; `culprits` sent wrong ones (empty: too few or foreign shares)."""

    def __init__(self, what: str, culprits: tuple[int, ...] = ()) -> None:
        super().__init__(what)
        self.culprits = culprits


class PublicKeyPackage(Message, frozen=True):
    """What everyone may know of a key: the group's public key, and each member's public share."""

    epoch: Epoch  # one higher with each re-share; shares of two epochs do not go together
    threshold: Threshold
    key: Point
    shares: Annotated[Mapping[Identifier, Point], msgspec.Meta(max_length=MEMBERS)]

    def __post_init__(self) -> None:
        ordered = tuple(self.shares)
        if len(ordered) < self.threshold or list(ordered) != sorted(ordered):
            raise ValueError(
                "A key has at least as many shares as its threshold, in the order of identifiers."
            )
        # All are of one polynomial: with the first ones any other makes the key.
        fixed = ordered[: self.threshold - 1]
        for last in ordered[self.threshold - 1 :]:
            if public_at_zero({i: self.shares[i] for i in (*fixed, last)}) != self.key:
                raise ValueError("The public shares do not make the public key.")

    @property
    def verifying_key(self) -> bytes:
        """The 32 bytes that any Ed25519 library verifies with."""
        return self.key.encode()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the package: this very sharing of the key."""
        return hashlib.sha256(b"labs.example/quorum/key/v1/" + self.to_bytes()).digest()


@dataclass(frozen=True)
class KeyPackage:
    """What one member holds. Its share is the secret; all else is public."""

    identifier: int
    share: Scalar
    public: PublicKeyPackage

    def __post_init__(self) -> None:
        if self.public.shares.get(self.identifier) != base(self.share):
            raise ValueError(
                f"This is not the share of member {self.identifier} in epoch {self.public.epoch}."
            )


class SigningCommitments(Message, frozen=True):
    """A signer's round one: the public sides of its two nonces."""

    identifier: Identifier
    hiding: Point
    binding: Point


class SigningNonces:
    """The secrets of round one, for one signature: `sign` takes them out, and there is no other way to get at them.

    Two signatures with one nonce would give away the share. So this is neither copied, pickled nor written to a disk: a
    member that restarts has lost its nonces, and that is right.
    """

    __slots__ = ("_lock", "_pair", "commitments")

    def __init__(self, identifier: int, hiding: Scalar, binding: Scalar) -> None:
        self._lock = threading.Lock()
        self._pair: tuple[Scalar, Scalar] | None = (hiding, binding)
        self.commitments = SigningCommitments(identifier, base(hiding), base(binding))

    def _take(self) -> tuple[Scalar, Scalar]:
        with self._lock:
            pair, self._pair = self._pair, None
        if pair is None:
            raise SigningRefused("These nonces signed before. Begin again with round one.")
        return pair

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Nonces are used once: they are neither pickled nor copied.")


class SigningPackage(Message, frozen=True):
    """What the coordinator asks signers to sign: the message and everyone's commitments, by identifier."""

    epoch: Epoch
    key: Bytes32  # the digest of the public key package: of two sharings of one epoch one is the wrong one
    message: bytes  # the limit of a whole message holds for it
    commitments: Annotated[tuple[SigningCommitments, ...], msgspec.Meta(max_length=MEMBERS)]

    @property
    def identifiers(self) -> tuple[int, ...]:
        """Who signs."""
        return tuple(commitment.identifier for commitment in self.commitments)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the package: whoever signs it has accepted all of it."""
        return hashlib.sha256(b"labs.example/quorum/package/v1/" + self.to_bytes()).digest()


class SignatureShare(Message, frozen=True):
    """A signer's round two."""

    identifier: Identifier
    share: Scalar


def package(
    message: bytes, commitments: Iterable[SigningCommitments], public: PublicKeyPackage
) -> SigningPackage:
    """The package of these signers, in the order that the RFC asks for."""
    ordered = tuple(sorted(commitments, key=lambda each: each.identifier))
    return SigningPackage(public.epoch, public.digest, message, ordered)


def commit(key: KeyPackage, random: Callable[[int], bytes] = secrets.token_bytes) -> SigningNonces:
    """Round one (section 5.1). `random` is another one only where published test vectors are replayed."""
    hiding, binding = (_nonce(key.share, random(SIZE)) for _ in range(2))
    return SigningNonces(key.identifier, hiding, binding)


def sign(asked: SigningPackage, nonces: SigningNonces, key: KeyPackage) -> SignatureShare:
    """Round two (section 5.2). The nonces are gone afterwards, whether this signed or refused.

    Errors: SigningRefused, where the package is of another epoch, has too few or unknown signers, or not this member
    with the commitments that it made.
    """
    hiding, binding = nonces._take()
    if reason := problem(asked, key.public):
        raise SigningRefused(reason)
    if nonces.commitments not in asked.commitments or nonces.commitments.identifier != key.identifier:
        raise SigningRefused(f"The commitments of member {key.identifier} are not those that it made.")
    factors = binding_factors(key.public.key, asked)
    try:
        challenge = _challenge(_group_commitment(asked, factors), key.public.key, asked.message)
    except InvalidEncoding:
        raise SigningRefused("The commitments add up to the identity: somebody chose them so.") from None
    weight = lagrange(asked.identifiers, key.identifier)
    share = hiding + binding * factors[key.identifier] + weight * key.share * challenge
    return SignatureShare(key.identifier, share)


def verify_share(asked: SigningPackage, share: SignatureShare, public: PublicKeyPackage) -> bool:
    """verify_signature_share (section 5.3): whether `share` is what its member had to answer."""
    if problem(asked, public) or share.identifier not in asked.identifiers:
        return False
    factors = binding_factors(public.key, asked)
    try:
        challenge = _challenge(_group_commitment(asked, factors), public.key, asked.message)
    except InvalidEncoding:
        return False
    mine = asked.commitments[asked.identifiers.index(share.identifier)]
    weight = lagrange(asked.identifiers, share.identifier)
    committed = mine.hiding + mine.binding * factors[share.identifier]
    return base(share.share) == committed + public.shares[share.identifier] * (challenge * weight)


def aggregate(asked: SigningPackage, shares: Iterable[SignatureShare], public: PublicKeyPackage) -> bytes:
    """The signature, 64 bytes, as RFC 8032 has it (section 5.3). It is verified before anyone sees it.

    Errors: NoSignature, and in it whose shares were wrong.
    """
    given = {share.identifier: share for share in shares}
    if reason := problem(asked, public):
        raise NoSignature(reason)
    if set(given) != set(asked.identifiers):
        raise NoSignature(f"Shares of {sorted(given)}, asked were {list(asked.identifiers)}.")
    commitment = _group_commitment(asked, binding_factors(public.key, asked))
    total = reduce(Scalar.__add__, (share.share for share in given.values()), ZERO)
    try:
        signature = commitment.encode() + total.encode()
        VerifyKey(public.verifying_key).verify(asked.message, signature)
    except (BadSignatureError, InvalidEncoding):
        wrong = tuple(i for i in asked.identifiers if not verify_share(asked, given[i], public))
        raise NoSignature(f"Wrong shares of {list(wrong)}.", wrong) from None
    return signature


def binding_factors(key: Point, asked: SigningPackage) -> dict[int, Scalar]:
    """compute_binding_factors (section 4.4): ties each nonce to the message and to everyone's commitments."""
    commitments = b"".join(
        Scalar.of(each.identifier).encode() + each.hiding.encode() + each.binding.encode()
        for each in asked.commitments
    )
    prefix = key.encode() + _hash(b"msg", asked.message) + _hash(b"com", commitments)
    return {
        identifier: Scalar.hashed(CONTEXT, b"rho", prefix, Scalar.of(identifier).encode())
        for identifier in asked.identifiers
    }


def _group_commitment(asked: SigningPackage, factors: Mapping[int, Scalar]) -> Point:
    """compute_group_commitment (section 4.5): the signature's R."""
    terms = (each.hiding + each.binding * factors[each.identifier] for each in asked.commitments)
    return reduce(Point.__add__, terms, IDENTITY)


def _challenge(commitment: Point, key: Point, message: bytes) -> Scalar:
    """compute_challenge (section 4.6). H2 has no prefix, or this were not Ed25519."""
    return Scalar.hashed(commitment.encode(), key.encode(), message)


def _nonce(secret: Scalar, random: bytes) -> Scalar:
    """nonce_generate (section 4.1): the secret is mixed in, so that bad randomness alone gives nothing away."""
    return Scalar.hashed(CONTEXT, b"nonce", random, secret.encode())


def _hash(name: bytes, data: bytes) -> bytes:
    return hashlib.sha512(CONTEXT + name + data).digest()  # H4 and H5


def problem(asked: SigningPackage, public: PublicKeyPackage) -> str:
    """Why a package is none for this key, in words; nothing if it is one."""
    who = asked.identifiers
    if asked.epoch != public.epoch:
        return f"The package is of epoch {asked.epoch}, the key of epoch {public.epoch}."
    if asked.key != public.digest:
        return f"The package is for another sharing of epoch {asked.epoch}, or for another key."
    if list(who) != sorted(set(who)) or not set(who) <= set(public.shares):
        return f"Signers are {list(who)}; they must be members, each once, in order."
    if len(who) < public.threshold:
        return f"{len(who)} signers, and {public.threshold} are needed."
    return ""
