"""Members that misbehave, each in one way: what labs and tests run honest members against.

A cheat speaks in the ceremony like any member, under its own name: what it says is wrong, or too much, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from labsupport.quorum import ceremony, signing
from labsupport.quorum.keys import broadcast, deal
from labsupport.quorum.keys.deal import Deal, Plan, Verdict
from labsupport.quorum.keys.dkg import Ceremony
from labsupport.quorum.keys.frost import KeyPackage, SignatureShare
from labsupport.quorum.keys.group import ONE, Scalar, base
from labsupport.quorum.keys.identity import Identity, Signed
from labsupport.quorum.state import State


@dataclass(frozen=True)
class Behaviour:
    """How a member begins a ceremony, and how it signs."""

    begin: ceremony.Begin
    signer: signing.Signer


def honest() -> Behaviour:
    """As it should be."""
    return Behaviour(ceremony.begin, signing.Signer())


def _saying(part: Ceremony, body: bytes) -> Ceremony:
    """The same part, but saying this in the phase that it is in."""
    phase = part.talk.phase
    talk = broadcast.begin(part.identity, part.plan.members, part.plan.session, phase, part.plan.faults, body)
    return replace(part, talk=talk)


def _dealing(change: Callable[[Deal], Deal]) -> ceremony.Begin:
    """Begins with a deal that was changed."""

    def begin(plan: Plan, identity: Identity, key: KeyPackage | None) -> Ceremony:
        part = ceremony.begin(plan, identity, key)
        made = deal.make(plan, identity.identifier, key.share if key else Scalar.random())
        return _saying(part, change(made).to_bytes())

    return begin


def _wrong_share(made: Deal) -> Deal:
    """One receiver's share is of something else."""
    return msgspec.structs.replace(
        made, sealed=(bytes(byte ^ 1 for byte in made.sealed[0]), *made.sealed[1:])
    )


def _wrong_commitment(made: Deal) -> Deal:
    """Commits to something else than it deals."""
    first, *rest = made.commitment
    return msgspec.structs.replace(made, commitment=(first + base(ONE), *rest))


def _silent(plan: Plan, identity: Identity, key: KeyPackage | None) -> Ceremony:
    raise ValueError("says nothing")


def _equivocating(plan: Plan, identity: Identity, key: KeyPackage | None) -> Ceremony:
    """Deals twice, and tells everybody both."""
    parts = [ceremony.begin(plan, identity, key) for _ in range(2)]
    one, other = (part.talk for part in parts)
    return replace(parts[0], talk=replace(one, fresh=one.fresh + other.fresh))


class _Complaining(Ceremony):
    """Complains of a share that was right."""

    def advance(self, received: Iterable[bytes]) -> Ceremony:
        """As it should be, but for what it says of the deals."""
        after = super().advance(received)
        if (after.talk.phase, after.talk.round) != ("verdict", 1):
            return after
        me = self.identity.identifier
        dealer, (dealt, _) = next(item for item in after.deals.items() if item[0] != me)
        complaint = deal.complain(self.plan, self.identity, dealer, dealt)
        return _saying(after, Verdict((complaint,)).to_bytes())


def _complaining(plan: Plan, identity: Identity, key: KeyPackage | None) -> Ceremony:
    part = ceremony.begin(plan, identity, key)
    return _Complaining(part.plan, part.identity, part.weights, part.talk)


class _WrongSigner(signing.Signer):
    """Answers with a share that is none."""

    def sign(
        self, asked: signing.SignShare, state: State, key: KeyPackage | None, identity: Identity
    ) -> signing.SignedShare:
        """One too many."""
        right = super().sign(asked, state, key, identity)
        signed = Signed.from_bytes(right.signed)
        share = SignatureShare.from_bytes(signed.body)
        wrong = SignatureShare(share.identifier, share.share + ONE)
        return signing.SignedShare(identity.sign(signed.session, "sign", wrong.to_bytes()).to_bytes())


# By name; what each is accused of (keys.blame), at the latest when it takes part in a ceremony or in a signature.
CHEATS: dict[str, Callable[[], Behaviour]] = {
    "wrong-share": lambda: Behaviour(_dealing(_wrong_share), signing.Signer()),
    "wrong-commitment": lambda: Behaviour(_dealing(_wrong_commitment), signing.Signer()),
    "equivocation": lambda: Behaviour(_equivocating, signing.Signer()),
    "silence": lambda: Behaviour(_silent, signing.Signer()),
    "false-complaint": lambda: Behaviour(_complaining, signing.Signer()),
    "wrong-partial-signature": lambda: Behaviour(ceremony.begin, _WrongSigner()),
}
