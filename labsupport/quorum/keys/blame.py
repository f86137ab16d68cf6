"""Accusations: who cheated, how, and the evidence. An honest member is never named while messages arrive in time.

Each carries what its culprit signed, and `proven` judges by that alone: a third party that knows the members needs to
trust no accuser. Silence is the exception; nothing proves that nothing came. In a ceremony all honest members
agree on it, for a broadcast (broadcast.py) has the same outcome at each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TypeVar

from labsupport.quorum.keys import deal, frost, wire
from labsupport.quorum.keys.deal import Deal, Plan, Verdict
from labsupport.quorum.keys.identity import Member, Phase, Signed
from labsupport.quorum.keys.wire import Identifier, InvalidMessage, Message


class Silence(Message, frozen=True, tag=True):
    """It said nothing in a phase, or too late."""

    culprit: Identifier
    phase: Phase

    def proven(self, plan: Plan) -> bool:
        """Nothing proves it to a third party."""
        return False


class ZeroShare(Message, frozen=True, tag=True):
    """It dealt so that its own share became zero: only who knows all other deals before its own can. It gets none."""

    culprit: Identifier

    def proven(self, plan: Plan) -> bool:
        """All deals together would prove it; a third party does not have them here."""
        return False


class Evidence(Message, frozen=True, tag=True):
    """The base of accusations that anyone can check."""

    signed: Signed  # by the culprit

    @property
    def culprit(self) -> int:
        """Who cheated."""
        return self.signed.signer

    def proven(self, plan: Plan) -> bool:
        """Whether the evidence shows it to someone who knows only the ceremony's plan."""
        return _by(plan, self.signed) and self._shows(plan)

    def _shows(self, plan: Plan) -> bool:
        raise NotImplementedError


class Equivocation(Evidence, frozen=True):
    """It said two different things in one phase."""

    other: Signed

    def _shows(self, plan: Plan) -> bool:
        one, other = self.signed, self.other
        return (
            _by(plan, other)
            and (one.signer, one.phase) == (other.signer, other.phase)
            and one.body != other.body
        )


class Malformed(Evidence, frozen=True):
    """What it signed is no message: wrong types, bytes that are no point."""

    def _shows(self, plan: Plan) -> bool:
        return _read(Deal if self.signed.phase == "deal" else Verdict, self.signed) is None


class WrongCommitment(Evidence, frozen=True):
    """Its deal is wrong for all to see: `deal.fault` says how."""

    def _shows(self, plan: Plan) -> bool:
        dealt = _dealt(plan, self.signed)
        return dealt is not None and bool(deal.fault(plan, self.culprit, dealt))


class WrongShare(Evidence, frozen=True):
    """The share that it sealed for another is not the one that it committed to."""

    complaint: Signed  # the other's verdict, with what opens the share

    def _shows(self, plan: Plan) -> bool:
        return True in _judge(plan, self.signed, self.complaint)


class FalseComplaint(Evidence, frozen=True):
    """It accused a dealer whose share for it was right, or showed a false opening."""

    dealt: Signed

    def _shows(self, plan: Plan) -> bool:
        return False in _judge(plan, self.dealt, self.signed)


class WrongPartialSignature(Message, frozen=True):
    """It signed a package wrongly. A signer that answers has accepted the package: it signs its digest too."""

    package: frost.SigningPackage
    signed: Signed  # its share; the session is the package's digest

    @property
    def culprit(self) -> int:
        """Who cheated."""
        return self.signed.signer

    def proven(self, member: Member, public: frost.PublicKeyPackage) -> bool:
        """Whether `member` answered so, and the answer is wrong for this key."""
        here = (self.signed.session, self.signed.phase) == (self.package.digest, "sign")
        # A package that is none for this key proves nothing: an honest signer of another epoch was right to sign it.
        if not here or not self.signed.by(member) or frost.problem(self.package, public):
            return False
        share = _read(frost.SignatureShare, self.signed)
        if share is None or share.identifier != member.identifier:
            return True
        return not frost.verify_share(self.package, share, public)


Accusation = Silence | ZeroShare | Equivocation | Malformed | WrongCommitment | WrongShare | FalseComplaint

M = TypeVar("M", bound=Message)


def read(data: bytes) -> Accusation:
    """An accusation that somebody sent. Errors: InvalidMessage."""
    found: Accusation = wire.read(Accusation, data)  # type: ignore[arg-type]  # a union is a type to msgspec
    return found


def _judge(plan: Plan, signed: Signed, complaint: Signed) -> Iterator[bool]:
    """For each complaint in a verdict about this deal: whether it is right."""
    dealt, verdict = _dealt(plan, signed), _read(Verdict, complaint)
    if dealt is None or verdict is None or complaint.phase != "verdict" or not _by(plan, complaint):
        return
    for each in verdict.complaints:
        if (each.dealer, each.deal) == (signed.signer, dealt.digest):
            yield deal.upheld(plan, complaint.signer, each, dealt)


def _dealt(plan: Plan, signed: Signed) -> Deal | None:
    right = signed.phase == "deal" and signed.signer in plan.dealers and _by(plan, signed)
    return _read(Deal, signed) if right else None


def _by(plan: Plan, signed: Signed) -> bool:
    with suppress(KeyError):
        return signed.session == plan.session and signed.by(plan.member(signed.signer))
    return False


def _read(kind: type[M], signed: Signed) -> M | None:
    try:
        return kind.from_bytes(signed.body)
    except InvalidMessage:
        return None
