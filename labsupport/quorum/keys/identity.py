"""Who a member is to the others, for years: a key to sign messages with and one to seal shares for it.

Mutual TLS says to a receiver who sent something; it proves nothing to a third. An accusation must, so what counts is
signed by its author's own key. Sealing is in the same group as the shares, not in X25519, since a member that got a
wrong share shows what was sealed for it with a proof of logarithms (deal.py), and a sealed box cannot be opened so.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from labsupport.quorum.keys.group import SIZE, Point, Scalar, base
from labsupport.quorum.keys.wire import Bytes32, Bytes64, Identifier, Message

DOMAIN = b"labs.example/quorum/identity/v1/"
BODY = 2048  # bytes that are signed at once; the longest, a deal for nine, has some 1,000

Phase = Literal["deal", "verdict", "sign"]
Body = Annotated[bytes, msgspec.Meta(max_length=BODY)]


class Member(Message, frozen=True):
    """A member's public side."""

    identifier: Identifier
    verifying_key: Bytes32
    sealing_key: Point


class Signed(Message, frozen=True):
    """Bytes that a member answers for, in one phase of one session."""

    signer: Identifier
    session: Bytes32
    phase: Phase
    body: Body
    signature: Bytes64

    def by(self, member: Member) -> bool:
        """Whether `member` signed this."""
        if member.identifier != self.signer:
            return False
        return verifies(member, self.session, self.phase, self.signer, self.body, self.signature)


@dataclass(frozen=True)
class Identity:
    """A member's secret side, all from one seed of 32 bytes."""

    identifier: int
    seed: bytes = field(repr=False)

    @classmethod
    def new(cls, identifier: int) -> Identity:
        """One that nobody can foresee."""
        return cls(identifier, secrets.token_bytes(SIZE))

    @property
    def member(self) -> Member:
        """What the others may know."""
        return Member(self.identifier, bytes(self._signing_key.verify_key), base(self.sealing_secret))

    @property
    def sealing_secret(self) -> Scalar:
        """Opens what was sealed for this member."""
        return Scalar.hashed(DOMAIN, b"seal", self.seed)

    def sign(self, session: bytes, phase: Phase, body: bytes) -> Signed:
        """`body`, said by this member."""
        signature = self.endorse(session, phase, self.identifier, body)
        return Signed(self.identifier, session, phase, body, signature)

    def endorse(self, session: bytes, phase: Phase, author: int, body: bytes) -> bytes:
        """A signature that this member has it from `author`'s own hand (broadcast.py)."""
        return self._signing_key.sign(_text(session, phase, author, body)).signature

    @property
    def _signing_key(self) -> SigningKey:
        return SigningKey(hashlib.sha512(DOMAIN + b"sign" + self.seed).digest()[:SIZE])


def verifies(
    member: Member, session: bytes, phase: Phase, author: int, body: bytes, signature: bytes
) -> bool:
    """Whether `member` signed that `author` said `body`."""
    try:
        VerifyKey(member.verifying_key).verify(_text(session, phase, author, body), signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _text(session: bytes, phase: Phase, author: int, body: bytes) -> bytes:
    return b"".join((DOMAIN, b"message/", phase.encode(), b"/", bytes([author]), session, body))
