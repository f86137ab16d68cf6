"""What a dealer gives to all: a commitment, and a share sealed for each receiver. And how to complain of one.

A share is sealed with a pad made of a point that dealer and receiver alone can make: one's ephemeral key with the
other's sealing key. Everything is sent to all, so nobody can say that nothing came. Whoever finds a wrong share shows
that point, with a proof that it is the right one; all open the share and see for themselves who lies (Schindler and
others, "EthDKG", 2019). No answer is waited for.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec

from labsupport.quorum.keys import proofs
from labsupport.quorum.keys.frost import PublicKeyPackage
from labsupport.quorum.keys.group import InvalidEncoding, Point, Scalar, base
from labsupport.quorum.keys.identity import Identity, Member
from labsupport.quorum.keys.polynomial import Polynomial, commitment_at
from labsupport.quorum.keys.wire import (
    MEMBERS,
    Bytes32,
    Epoch,
    Identifier,
    Identifiers,
    Message,
    Points,
    Threshold,
)

DOMAIN = b"labs.example/quorum/deal/v1/"


class Plan(Message, frozen=True):
    """What a ceremony is about. All who take part have the same one beforehand: it is not agreed here.

    `nonce` is new for each ceremony. A member takes part in a session once: one that restarts in the middle stays out,
    or it would deal twice, and that is equivocation.
    """

    epoch: Epoch
    threshold: Threshold
    members: Annotated[tuple[Member, ...], msgspec.Meta(max_length=MEMBERS)]  # all who take part
    dealers: Identifiers
    receivers: Identifiers  # who will hold the key
    nonce: Bytes32
    previous: PublicKeyPackage | None = None  # the key that is handed on; None: a new one is made

    def __post_init__(self) -> None:
        everyone = [member.identifier for member in self.members]
        for group in (everyone, list(self.dealers), list(self.receivers)):
            if group != sorted(set(group)) or not set(group) <= set(everyone):
                raise ValueError(f"{group}: members each once, in order, and with a public side.")
        if not self.threshold <= len(self.receivers):
            raise ValueError(f"A threshold of {self.threshold} among {len(self.receivers)} holders.")
        if self.previous is None:
            fits = self.dealers == self.receivers
        else:
            before = self.previous
            fits = set(self.dealers) <= set(before.shares) and len(self.dealers) >= before.threshold
            fits = fits and self.epoch == before.epoch + 1
        if not fits:
            raise ValueError(
                "A new key is dealt by its holders; one handed on by a threshold of the last epoch's."
            )

    @property
    def session(self) -> bytes:
        """What distinguishes this ceremony from all others. Every signature and proof in it names it."""
        return hashlib.sha256(DOMAIN + b"plan/" + self.to_bytes()).digest()

    @property
    def faults(self) -> int:
        """How many cheaters are reckoned with: one below the threshold, of the old holders and of the new."""
        return self.threshold - 1 + (self.previous.threshold - 1 if self.previous else 0)

    def member(self, identifier: int) -> Member:
        """Errors: KeyError."""
        found = next((each for each in self.members if each.identifier == identifier), None)
        if found is None:
            raise KeyError(f"{identifier} takes no part in this ceremony.")
        return found


class Deal(Message, frozen=True):
    """A dealer's polynomial, as others may see it."""

    commitment: Points
    possession: proofs.Possession  # of the secret dealt, or one could cancel out the others' secrets
    ephemeral: Point
    ephemeral_possession: (
        proofs.Possession
    )  # or one could seal with another's and have a complaint open that one's
    sealed: Annotated[tuple[Bytes32, ...], msgspec.Meta(max_length=MEMBERS)]  # in the order of the receivers

    @property
    def digest(self) -> bytes:
        """SHA-256 of the deal."""
        return hashlib.sha256(DOMAIN + b"deal/" + self.to_bytes()).digest()


class Complaint(Message, frozen=True):
    """A share that `dealer` sealed is wrong: here is what opens it."""

    dealer: Identifier
    deal: Bytes32  # its digest, or a dealer could show another deal later, and the complaint would be false there
    shared: Point
    proof: proofs.SameSecret


class Verdict(Message, frozen=True):
    """What a member says of all deals; most have nothing to complain of."""

    complaints: Annotated[tuple[Complaint, ...], msgspec.Meta(max_length=MEMBERS)] = ()


def make(plan: Plan, dealer: int, secret: Scalar) -> Deal:
    """Deal `secret`: a random one for a new key, the dealer's old share for one handed on."""
    polynomial = Polynomial.random(secret, plan.threshold)
    ephemeral = Scalar.random()
    sealed = (
        _seal(plan, dealer, each, plan.member(each).sealing_key * ephemeral, polynomial.at(each).encode())
        for each in plan.receivers
    )
    return Deal(
        polynomial.commitment(),
        proofs.prove_possession(secret, _context(plan, b"secret", dealer)),
        base(ephemeral),
        proofs.prove_possession(ephemeral, _context(plan, b"ephemeral", dealer)),
        tuple(sealed),
    )


def fault(plan: Plan, dealer: int, deal: Deal) -> str:
    """What everyone can see to be wrong with a deal, in words; nothing if it is in order."""
    if len(deal.commitment) != plan.threshold or len(deal.sealed) != len(plan.receivers):
        return "it is for another threshold or for other receivers"
    if not proofs.check_possession(deal.commitment[0], deal.possession, _context(plan, b"secret", dealer)):
        return "the dealer does not know the secret that it deals"
    context = _context(plan, b"ephemeral", dealer)
    if not proofs.check_possession(deal.ephemeral, deal.ephemeral_possession, context):
        return "the dealer does not know its ephemeral key"
    if plan.previous is not None and deal.commitment[0] != plan.previous.shares[dealer]:
        return "what it deals is not its share of the key"
    return ""


def open_share(plan: Plan, dealer: int, deal: Deal, receiver: int, shared: Point) -> Scalar | None:
    """The share in `deal` for `receiver`, opened with the point that both know; None where it is wrong (Feldman)."""
    if receiver not in plan.receivers:
        return None
    sealed = deal.sealed[plan.receivers.index(receiver)]
    try:
        share = Scalar.decode(_seal(plan, dealer, receiver, shared, sealed))
    except InvalidEncoding:
        return None
    return share if base(share) == commitment_at(deal.commitment, receiver) else None


def receive(plan: Plan, identity: Identity, dealer: int, deal: Deal) -> Scalar | Complaint:
    """My share of a deal, or my complaint about it."""
    shared = deal.ephemeral * identity.sealing_secret
    share = open_share(plan, dealer, deal, identity.identifier, shared)
    if share is not None:
        return share
    return complain(plan, identity, dealer, deal)


def complain(plan: Plan, identity: Identity, dealer: int, deal: Deal) -> Complaint:
    """What opens this member's share for all to see."""
    secret = identity.sealing_secret
    context = _context(plan, b"complaint", dealer, identity.identifier)
    proof = proofs.prove_same_secret(secret, deal.ephemeral, context)
    return Complaint(dealer, deal.digest, deal.ephemeral * secret, proof)


def upheld(plan: Plan, complainer: int, complaint: Complaint, deal: Deal) -> bool:
    """Whether a complaint about this deal is right: it shows the point that opens the share, and the share is wrong."""
    if complainer not in plan.receivers:
        return False
    key = plan.member(complainer).sealing_key
    context = _context(plan, b"complaint", complaint.dealer, complainer)
    if not proofs.check_same_secret(key, deal.ephemeral, complaint.shared, complaint.proof, context):
        return False
    return open_share(plan, complaint.dealer, deal, complainer, complaint.shared) is None


def _seal(plan: Plan, dealer: int, receiver: int, shared: Point, data: bytes) -> bytes:
    """`data` under a pad that is used for nothing else: done twice it is undone. Feldman's check finds a change."""
    pad = hashlib.sha256(_context(plan, b"pad", dealer, receiver) + shared.encode()).digest()
    return bytes(a ^ b for a, b in zip(data, pad, strict=True))


def _context(plan: Plan, purpose: bytes, *who: int) -> bytes:
    return b"".join((DOMAIN, purpose, b"/", plan.session, bytes(who)))
