"""A ceremony in one process: members, some of whom cheat, and a network that delivers within the round."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import msgspec

from labsupport.quorum.keys import broadcast, deal, dkg, proofs, reshare
from labsupport.quorum.keys.broadcast import Bundle, Link, Relay
from labsupport.quorum.keys.deal import Complaint, Deal, Plan, Verdict
from labsupport.quorum.keys.dkg import CeremonyFailed, Result
from labsupport.quorum.keys.frost import KeyPackage, PublicKeyPackage
from labsupport.quorum.keys.group import ONE, Point, Scalar, base
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.keys.polynomial import Polynomial, lagrange
from tests.quorum.keys.test_frost import signed, verifies

Outcome = Result | CeremonyFailed
Sent = Mapping[int, bytes]  # by receiver


class Honest:
    """Does what the protocol says."""

    culprit_of: str | None = None  # the accusation that must come of it; None where nobody need be named

    def __init__(self, plan: Plan, identity: Identity, key: KeyPackage | None = None) -> None:
        self.plan, self.identity, self.key = plan, identity, key
        self.me = identity.identifier
        self.others = [each.identifier for each in plan.members if each.identifier != self.me]
        if plan.previous is None:
            self.ceremony = dkg.start(plan, identity)
        else:
            self.ceremony = reshare.start(plan, identity, key)
        self.outcome: Outcome | None = None

    @property
    def where(self) -> tuple[str, int]:
        return self.ceremony.talk.phase, self.ceremony.talk.round

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        """What goes to whom in this round; `seen`: what honest members send in it (a cheater sees it first)."""
        return dict.fromkeys(self.others, self.ceremony.outgoing)

    def receive(self, received: Iterable[bytes]) -> None:
        try:
            self.ceremony = self.ceremony.advance(received)
            self.outcome = self.ceremony.result
        except CeremonyFailed as failed:
            self.outcome = failed

    def say(self, body: bytes) -> None:
        """Say this in the phase that just begins, in place of what the protocol would."""
        phase = self.ceremony.talk.phase
        talk = broadcast.begin(
            self.identity, self.plan.members, self.plan.session, phase, self.plan.faults, body
        )
        self.ceremony = replace(self.ceremony, talk=talk)

    @property
    def secret(self) -> Scalar:
        return self.key.share if self.key else Scalar.random()


class Silent(Honest):
    culprit_of = "Silence"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        return {}


class Crashes(Honest):
    """Silent from the verdicts on."""

    culprit_of = "Silence"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        return super().send(seen) if self.where[0] == "deal" else {}


class TellsOne(Honest):
    """Speaks to one other alone. That is no harm: what one honest member heard in time, all get to hear."""

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        return {self.others[0]: self.ceremony.outgoing}


class Garbage(Honest):
    """Sends bytes that are no bundle."""

    culprit_of = "Silence"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        return dict.fromkeys(self.others, b"\x94" + bytes(99))


class DealsGarbage(Honest):
    """Signs bytes that are no deal."""

    culprit_of = "Malformed"

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.say(b"\x95" + bytes(300))


class SaysGarbage(Honest):
    culprit_of = "Malformed"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        if self.where == ("verdict", 1):
            self.say(b"\x91\x91\x93\x01")
        return super().send(seen)


class Deals(Honest):
    """Deals what `change` makes of a proper deal."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.say(self.change(deal.make(self.plan, self.me, self.secret)).to_bytes())

    def change(self, made: Deal) -> Deal:
        raise NotImplementedError


class WrongShares(Deals):
    """One other gets a share of something else."""

    culprit_of = "WrongShare"

    def change(self, made: Deal) -> Deal:
        victim = next(i for i, each in enumerate(self.plan.receivers) if each != self.me)
        sealed = list(made.sealed)
        sealed[victim] = bytes(byte ^ 1 for byte in sealed[victim])
        return msgspec.structs.replace(made, sealed=tuple(sealed))


class WrongDegree(Deals):
    """A polynomial of too high a degree: no threshold of shares would be the secret."""

    culprit_of = "WrongCommitment"

    def change(self, made: Deal) -> Deal:
        return msgspec.structs.replace(made, commitment=(*made.commitment, base(ONE)))


class WrongConstant(Deals):
    """A commitment that does not fit its proof, nor (in a re-share) the dealer's share."""

    culprit_of = "WrongCommitment"

    def change(self, made: Deal) -> Deal:
        first, *rest = made.commitment
        return msgspec.structs.replace(made, commitment=(first + base(ONE), *rest))


class OtherSecret(Deals):
    """In a re-share: deals something that is not its share, properly."""

    culprit_of = "WrongCommitment"

    def change(self, made: Deal) -> Deal:
        return deal.make(self.plan, self.me, Scalar.random())


class Rushes(Honest):
    """Deals after it has seen the others' deals of the same round."""

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        if self.where == ("deal", 1):
            deals = {}
            for dealer, data in seen.items():
                for relay in Bundle.from_bytes(data).relays:
                    deals[dealer] = Deal.from_bytes(relay.body)
            self.say(self.after(deals).to_bytes())
        return super().send(seen)

    def after(self, deals: Mapping[int, Deal]) -> Deal:
        raise NotImplementedError


class RogueKey(Rushes):
    """Takes the others' secrets out of the sum, so that the key is its own: the proof of possession forbids it."""

    culprit_of = "WrongCommitment"

    def after(self, deals: Mapping[int, Deal]) -> Deal:
        made = deal.make(self.plan, self.me, Scalar.random())
        first, *rest = made.commitment
        for other in deals.values():
            first = first - other.commitment[0]
        return msgspec.structs.replace(made, commitment=(first, *rest))


class StolenKey(Rushes):
    """Seals with another's ephemeral key, to have a complaint about it open the other's share."""

    culprit_of = "WrongCommitment"

    def after(self, deals: Mapping[int, Deal]) -> Deal:
        victim = next(iter(deals.values()))
        made = deal.make(self.plan, self.me, self.secret)
        return msgspec.structs.replace(
            made, ephemeral=victim.ephemeral, ephemeral_possession=victim.ephemeral_possession
        )


class ZeroShare(Rushes):
    """Chooses its deal so that its own share is zero; only where all others are dealers and honest."""

    culprit_of = "ZeroShare"

    def after(self, deals: Mapping[int, Deal]) -> Deal:
        total = Scalar.of(0)
        for dealer, other in deals.items():
            share = deal.receive(self.plan, self.identity, dealer, other)
            assert isinstance(share, Scalar)
            total = total - share
        secret = self.secret
        # Through (0, secret) and (me, total): the linear coefficient does it, the others stay random.
        made = Polynomial.random(secret, self.plan.threshold)
        x = Scalar.of(self.me)
        slope = made.coefficients[1] + (total - made.at(self.me)) * x.inverse()
        polynomial = Polynomial((secret, slope, *made.coefficients[2:]))
        proper = deal.make(self.plan, self.me, secret)
        ephemeral = Scalar.random()
        return msgspec.structs.replace(
            proper,
            commitment=polynomial.commitment(),
            ephemeral=base(ephemeral),
            ephemeral_possession=proofs.prove_possession(
                ephemeral, deal._context(self.plan, b"ephemeral", self.me)
            ),
            sealed=tuple(
                deal._seal(
                    self.plan,
                    self.me,
                    each,
                    self.plan.member(each).sealing_key * ephemeral,
                    polynomial.at(each).encode(),
                )
                for each in self.plan.receivers
            ),
        )


class Equivocates(Honest):
    """Deals one thing to the first half and another to the rest."""

    culprit_of = "Equivocation"
    phase = "deal"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        if self.where != (self.phase, 1):
            return super().send(seen)
        half = len(self.others) // 2 or 1
        sent = dict.fromkeys(self.others[:half], self.ceremony.outgoing)
        self.say(self.other_body())
        return sent | dict.fromkeys(self.others[half:], self.ceremony.outgoing)

    def other_body(self) -> bytes:
        return deal.make(self.plan, self.me, self.secret).to_bytes()


class TwoVerdicts(Equivocates):
    phase = "verdict"

    def other_body(self) -> bytes:
        return b"\x91\x90 "


class Withholds(Honest):
    """Shows its deal to one member, in the last round, when nobody has the time to pass it on."""

    culprit_of = "Silence"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        talk = self.ceremony.talk
        if talk.phase != "deal":
            return super().send(seen)
        if talk.round < talk.rounds:
            return {}
        said = talk.heard[self.me][0]
        relay = Relay(self.me, said.body, (Link(self.me, said.signature),))
        return {self.others[0]: Bundle(talk.session, talk.phase, talk.round, (relay,)).to_bytes()}


class Complains(Honest):
    """Of another's share, which was right; and shows truly what was sealed."""

    culprit_of = "FalseComplaint"

    def send(self, seen: Mapping[int, bytes]) -> Sent:
        if self.where == ("verdict", 1):
            self.say(Verdict((self.complaint(*self.victim()),)).to_bytes())
        return super().send(seen)

    def victim(self) -> tuple[int, Deal]:
        dealer, (dealt, _) = next(item for item in self.ceremony.deals.items() if item[0] != self.me)
        return dealer, dealt

    def complaint(self, dealer: int, dealt: Deal) -> Complaint:
        secret = self.identity.sealing_secret
        context = deal._context(self.plan, b"complaint", dealer, self.me)
        proof = proofs.prove_same_secret(secret, dealt.ephemeral, context)
        return Complaint(dealer, dealt.digest, dealt.ephemeral * secret, proof)


class Forges(Complains):
    """Shows something else than what opens the share."""

    def complaint(self, dealer: int, dealt: Deal) -> Complaint:
        true = super().complaint(dealer, dealt)
        return msgspec.structs.replace(true, shared=true.shared + base(ONE))


CHEATS: list[type[Honest]] = [
    Silent,
    Crashes,
    TellsOne,
    Garbage,
    DealsGarbage,
    SaysGarbage,
    WrongShares,
    WrongDegree,
    WrongConstant,
    RogueKey,
    StolenKey,
    Equivocates,
    TwoVerdicts,
    Withholds,
    Complains,
    Forges,
]

Deliver = Callable[[str, int, int, int], bool]  # phase, round, from, to: whether a cheater's bundle is sent


def run(
    parts: Sequence[Honest],
    delivers: Deliver = lambda *_: True,
    watch: Callable[[Honest], None] | None = None,
) -> dict[int, Outcome]:
    """Play a ceremony to its end. Gives what the honest members came to."""
    honest = [part for part in parts if type(part) is Honest]
    while any(part.outcome is None for part in honest):
        seen = {part.me: part.ceremony.outgoing for part in honest}
        inbox: dict[int, list[bytes]] = {part.me: [] for part in parts}
        for part in parts:
            phase, number = part.where
            for receiver, data in part.send(seen).items():
                if part in honest or delivers(phase, number, part.me, receiver):
                    inbox[receiver].append(data)
        for part in parts:
            if part.outcome is None:
                part.receive(inbox[part.me])
            if watch:
                watch(part)
    return {part.me: part.outcome for part in honest if part.outcome is not None}


def agreed(outcomes: Mapping[int, Outcome]) -> Outcome:
    """What all honest members came to, which must be the same."""
    first, *rest = outcomes.values()
    for other in rest:
        assert type(other) is type(first)
        assert named(other) == named(first)
        if isinstance(other, Result) and isinstance(first, Result):
            assert other.public == first.public
            assert other.transcript == first.transcript
    return first


def named(outcome: Outcome) -> set[tuple[int, str]]:
    return {(each.culprit, type(each).__name__) for each in outcome.accusations}


def check_evidence(plan: Plan, outcomes: Mapping[int, Outcome], cheaters: Iterable[int]) -> None:
    """Only cheaters are named, and each accusation that can be proven is."""
    for outcome in outcomes.values():
        for accusation in outcome.accusations:
            assert accusation.culprit in cheaters
            provable = type(accusation).__name__ not in ("Silence", "ZeroShare")
            assert accusation.proven(plan) == provable, accusation


def check_key(outcomes: Mapping[int, Outcome]) -> PublicKeyPackage:
    """The first and the last threshold of honest holders sign."""
    keys = {i: each.key for i, each in outcomes.items() if isinstance(each, Result) and each.key is not None}
    public = next(iter(keys.values())).public
    assert len(keys) >= public.threshold
    for who in (tuple(keys)[: public.threshold], tuple(keys)[-public.threshold :]):
        assert verifies(public, signed(keys, who, b"message"), b"message")
    return public


def whole_secret(keys: Sequence[KeyPackage]) -> Scalar:
    """What nobody but a test ever puts together."""
    held = keys[: keys[0].public.threshold]
    who = [each.identifier for each in held]
    total = Scalar.of(0)
    for each in held:
        total = total + each.share * lagrange(who, each.identifier)
    assert base(total) == held[0].public.key
    return total


def values_in(thing: Any) -> Iterable[bytes]:
    """All 32-byte values that a state holds, however deep; messages in it included."""
    if isinstance(thing, Scalar):
        yield thing.encode()
    elif isinstance(thing, bytes):
        yield from (thing[i : i + 32] for i in range(len(thing) - 31))
    elif isinstance(thing, Point | str | int | type(None)) or callable(thing):
        return
    elif isinstance(thing, Mapping):
        for each in thing.values():
            yield from values_in(each)
    elif isinstance(thing, list | tuple):
        for each in thing:
            yield from values_in(each)
    else:
        names = [field.name for field in fields(thing)] if is_dataclass(thing) else thing.__struct_fields__
        for name in names:
            yield from values_in(getattr(thing, name))


def identities(count: int) -> dict[int, Identity]:
    return {i: Identity.new(i) for i in range(1, count + 1)}


def fresh_plan(who: Mapping[int, Identity], threshold: int) -> Plan:
    return dkg.plan([each.member for each in who.values()], threshold)


def new_keys(count: int, threshold: int) -> tuple[dict[int, Identity], dict[int, KeyPackage]]:
    """A key made by an honest ceremony."""
    who = identities(count)
    plan = fresh_plan(who, threshold)
    outcomes = run([Honest(plan, each) for each in who.values()])
    assert named(agreed(outcomes)) == set()
    return who, {i: each.key for i, each in outcomes.items() if isinstance(each, Result) and each.key}
