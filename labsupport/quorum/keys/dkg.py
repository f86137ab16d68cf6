"""Distributed key generation: members make a key together that none of them ever holds (Pedersen, 1991).

Each member deals a random secret; the key is the sum of what the qualified dealt, a member's share the sum of what it
was dealt. Two phases, each a broadcast (broadcast.py): all deal; all say which shares are wrong. Whoever is caught is
named and left out, as dealer and as holder. All honest members come to the same key, holders and culprits, or to the
same failure.

A pure state machine. The caller is the network:

    ceremony = dkg.start(plan, identity)
    while ceremony.result is None:
        ceremony = ceremony.advance(exchange(ceremony.outgoing))  # to all others; what they sent, until a deadline
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from labsupport.quorum.keys import blame, broadcast, deal
from labsupport.quorum.keys.blame import Accusation
from labsupport.quorum.keys.broadcast import Broadcast
from labsupport.quorum.keys.deal import Complaint, Deal, Plan, Verdict
from labsupport.quorum.keys.frost import KeyPackage, PublicKeyPackage
from labsupport.quorum.keys.group import IDENTITY, ONE, SIZE, Scalar
from labsupport.quorum.keys.identity import Identity, Member, Phase, Signed
from labsupport.quorum.keys.polynomial import add_commitments, commitment_at
from labsupport.quorum.keys.wire import InvalidMessage

PHASES = 2  # deals, verdicts

# Of the qualified dealers: by how much each one's deal counts. Those that are left out do not count.
Weights = Callable[[Sequence[int]], Mapping[int, Scalar]]


class CeremonyFailed(Exception):
    """No key came about. `accusations` says because of whom; try again without them, with a new nonce."""

    def __init__(self, what: str, accusations: tuple[Accusation, ...]) -> None:
        named = ", ".join(f"{each.culprit} ({type(each).__name__})" for each in accusations)
        super().__init__(f"{what} Named: {named or 'nobody'}.")
        self.accusations = accusations


@dataclass(frozen=True)
class Result:
    """What a member has at the end."""

    public: PublicKeyPackage
    key: KeyPackage | None  # None for one that only handed on its share
    accusations: tuple[Accusation, ...]
    # The same at all honest members. Before a key is used, compare: a difference says that messages came too late.
    transcript: bytes


@dataclass(frozen=True)
class Ceremony:
    """One member's part. Each round makes a new one; secrets in it show themselves nowhere."""

    plan: Plan
    identity: Identity
    weights: Weights
    talk: Broadcast
    deals: Mapping[int, tuple[Deal, Signed]] = field(default_factory=dict)
    shares: Mapping[int, Scalar] = field(default_factory=dict)
    accusations: tuple[Accusation, ...] = ()
    result: Result | None = None

    @property
    def outgoing(self) -> bytes:
        """What to send to every other member in this round; to all the same."""
        return self.talk.outgoing

    def advance(self, received: Iterable[bytes]) -> Ceremony:
        """The next round, after what the others sent in this one. Errors: CeremonyFailed, in the last round only."""
        if self.result is not None:
            return self
        talk = self.talk.advance(received)
        if not talk.done:
            return replace(self, talk=talk)
        heard = replace(self, talk=talk)
        return heard._judge_deals() if talk.phase == "deal" else heard._finish()

    def _judge_deals(self) -> Ceremony:
        """All deals are known. Those that are in order are opened, and my verdict is what I say next."""
        found = {dealer: self._deal_of(dealer) for dealer in self.plan.dealers}
        deals = {dealer: each for dealer, each in found.items() if isinstance(each, tuple)}
        mine = deals if self.identity.identifier in self.plan.receivers else {}
        opened = {i: deal.receive(self.plan, self.identity, i, dealt) for i, (dealt, _) in mine.items()}
        verdict = Verdict(tuple(each for each in opened.values() if isinstance(each, Complaint)))
        return replace(
            self,
            talk=_talk(self.plan, self.identity, "verdict", verdict.to_bytes()),
            deals=deals,
            shares={dealer: each for dealer, each in opened.items() if isinstance(each, Scalar)},
            accusations=tuple(each for each in found.values() if not isinstance(each, tuple)),
        )

    def _deal_of(self, dealer: int) -> tuple[Deal, Signed] | Accusation:
        said = self._said(dealer)
        if not isinstance(said, Signed):
            return said
        try:
            dealt = Deal.from_bytes(said.body)
        except InvalidMessage:
            return blame.Malformed(said)
        return blame.WrongCommitment(said) if deal.fault(self.plan, dealer, dealt) else (dealt, said)

    def _finish(self) -> Ceremony:
        """All verdicts are known: who is left, and what key they have."""
        accusations = [*self.accusations]
        for member in self.plan.members:
            said = self._said(member.identifier)
            accusations += self._complaints(said) if isinstance(said, Signed) else [said]
        named = {accusation.culprit for accusation in accusations}
        qualified = [dealer for dealer in self.deals if dealer not in named]
        before = self.plan.previous
        if len(qualified) < (before or self.plan).threshold:
            raise CeremonyFailed("Too few dealers are left.", _once(accusations))
        weights = self.weights(qualified)
        commitment = add_commitments((weights[i], self.deals[i][0].commitment) for i in weights)
        holders = {i: commitment_at(commitment, i) for i in self.plan.receivers if i not in named}
        accusations += [blame.ZeroShare(i) for i, share in holders.items() if share == IDENTITY]
        shares = {i: share for i, share in holders.items() if share != IDENTITY}
        if len(shares) < self.plan.threshold:
            raise CeremonyFailed("Too few holders are left.", _once(accusations))
        public = PublicKeyPackage(self.plan.epoch, self.plan.threshold, commitment[0], shares)
        named_once = _once(accusations)
        result = Result(public, self._key(weights, public), named_once, self._transcript(public, named_once))
        return replace(self, result=result)

    def _said(self, author: int) -> Signed | Accusation:
        """What `author` said in this phase, or what is wrong with how it said it."""
        heard = self.talk.heard.get(author, ())
        if not heard:
            return blame.Silence(author, self.talk.phase)
        return heard[0] if len(heard) == 1 else blame.Equivocation(*heard)

    def _complaints(self, said: Signed) -> list[Accusation]:
        """Who is to blame for each complaint in a verdict. One about no deal, or one that is out, changes nothing."""
        try:
            verdict = Verdict.from_bytes(said.body)
        except InvalidMessage:
            return [blame.Malformed(said)]
        found: list[Accusation] = []
        for complaint in verdict.complaints:
            dealt, signed = self.deals.get(complaint.dealer, (None, None))
            if dealt and signed and complaint.deal == dealt.digest:
                right = deal.upheld(self.plan, said.signer, complaint, dealt)
                found.append(blame.WrongShare(signed, said) if right else blame.FalseComplaint(said, signed))
        return found

    def _key(self, weights: Mapping[int, Scalar], public: PublicKeyPackage) -> KeyPackage | None:
        me = self.identity.identifier
        if me not in public.shares:
            return None
        share = reduce(Scalar.__add__, (weights[i] * self.shares[i] for i in weights))
        return KeyPackage(me, share, public)

    def _transcript(self, public: PublicKeyPackage, accusations: Iterable[Accusation]) -> bytes:
        named = sorted(f"{each.culprit} {type(each).__name__}" for each in accusations)
        return hashlib.sha256(self.plan.session + public.to_bytes() + "\n".join(named).encode()).digest()


def plan(members: Sequence[Member], threshold: int, epoch: int = 1) -> Plan:
    """A new key for `members`, any `threshold` of whom sign. Made by one and given to all. Errors: ValueError."""
    ordered = tuple(sorted(members, key=lambda member: member.identifier))
    who = tuple(member.identifier for member in ordered)
    return Plan(epoch, threshold, ordered, who, who, secrets.token_bytes(SIZE))


def rounds(plan: Plan) -> int:
    """How many a ceremony has."""
    return PHASES * broadcast.rounds(plan.faults, len(plan.members))


def start(plan: Plan, identity: Identity) -> Ceremony:
    """A member's first round. Errors: ValueError where the plan is for something else, or without this member."""
    if plan.previous is not None:
        raise ValueError("This plan hands a key on: reshare.start.")
    return begin(plan, identity, Scalar.random(), lambda qualified: dict.fromkeys(qualified, ONE))


def begin(plan: Plan, identity: Identity, secret: Scalar | None, weights: Weights) -> Ceremony:
    """The first round of any ceremony. `secret`: what this member deals; None for one that only receives."""
    me = identity.identifier
    if identity.member not in plan.members:
        raise ValueError(f"The plan has no member {me} with this identity.")
    body = None if secret is None else deal.make(plan, me, secret).to_bytes()
    return Ceremony(plan, identity, weights, _talk(plan, identity, "deal", body))


def _talk(plan: Plan, identity: Identity, phase: Phase, body: bytes | None) -> Broadcast:
    return broadcast.begin(identity, plan.members, plan.session, phase, plan.faults, body)


def _once(accusations: Iterable[Accusation]) -> tuple[Accusation, ...]:
    """Of each culprit each kind once."""
    return tuple({(each.culprit, type(each)): each for each in accusations}.values())
