"""What one member says to all, so that all who are honest hear the same (Dolev and Strong, 1983).

Without it a cheater tells each something else. Whoever hears something new signs it and passes it on; in round r only
what r members have signed counts. Of `faults` + 1 signers one is honest, and told everybody in time: after so many
rounds all honest members have the same values of each author. None: silence. Two: equivocation, and the author's two
signatures are the proof. This stands for any number of cheaters, if messages between honest members arrive in their
round (the transport's deadline): whoever is later than that is silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec

from labsupport.quorum.keys.identity import Body, Identity, Member, Phase, Signed, verifies
from labsupport.quorum.keys.wire import (
    MEMBERS,
    Bytes32,
    Bytes64,
    Identifier,
    InvalidMessage,
    Message,
)

VALUES = 2  # of one author that are kept and passed on: as many as prove that it says different things


class Link(Message, frozen=True):
    """A signature of a relayed body."""

    signer: Identifier
    signature: Bytes64


class Relay(Message, frozen=True):
    """What an author said, and who has passed it on."""

    author: Identifier
    body: Body
    links: Annotated[tuple[Link, ...], msgspec.Meta(max_length=MEMBERS)]


class Bundle(Message, frozen=True):
    """All that one member sends to each other member in one round."""

    session: Bytes32
    phase: Phase
    round: Annotated[int, msgspec.Meta(ge=1, le=MEMBERS)]
    relays: Annotated[tuple[Relay, ...], msgspec.Meta(max_length=VALUES * MEMBERS)]


@dataclass(frozen=True)
class Broadcast:
    """One member's part in a phase in which everybody may say one thing."""

    identity: Identity
    members: Mapping[int, Member]
    session: bytes
    phase: Phase
    rounds: int
    round: int
    heard: Mapping[int, tuple[Signed, ...]]  # by author; at most two
    fresh: tuple[Relay, ...]  # what this member has to pass on in this round

    @property
    def done(self) -> bool:
        """Whether all rounds are over, and `heard` is what all honest members have heard."""
        return self.round > self.rounds

    @property
    def outgoing(self) -> bytes:
        """What to send to every other member in this round."""
        return Bundle(self.session, self.phase, self.round, self.fresh).to_bytes()

    def advance(self, received: Iterable[bytes]) -> Broadcast:
        """The next round, after what came in this one. What is not well formed is as if it had not come."""
        heard, fresh = dict(self.heard), []
        for relay in (relay for data in received for relay in self._relays(data)):
            known = heard.get(relay.author, ())
            new = len(known) < VALUES and all(relay.body != signed.body for signed in known)
            if new and self._counts(relay):
                heard[relay.author] = (*known, self._signed(relay))
                fresh.append(self._passed_on(relay))
        last = self.round == self.rounds
        return replace(self, round=self.round + 1, heard=heard, fresh=() if last else tuple(fresh))

    def _relays(self, data: bytes) -> tuple[Relay, ...]:
        try:
            bundle = Bundle.from_bytes(data)
        except InvalidMessage:
            return ()
        right = (self.session, self.phase, self.round) == (bundle.session, bundle.phase, bundle.round)
        return bundle.relays if right else ()

    def _counts(self, relay: Relay) -> bool:
        signers = {link.signer for link in relay.links}
        if len(signers) != len(relay.links) or len(signers) < self.round or relay.author not in signers:
            return False
        said = (self.session, self.phase, relay.author, relay.body)
        return signers <= set(self.members) and all(
            verifies(self.members[link.signer], *said, link.signature) for link in relay.links
        )

    def _signed(self, relay: Relay) -> Signed:
        signature = next(link.signature for link in relay.links if link.signer == relay.author)
        return Signed(relay.author, self.session, self.phase, relay.body, signature)

    def _passed_on(self, relay: Relay) -> Relay:
        mine = self.identity.endorse(self.session, self.phase, relay.author, relay.body)
        return Relay(relay.author, relay.body, (*relay.links, Link(self.identity.identifier, mine)))


def begin(
    identity: Identity,
    members: Iterable[Member],
    session: bytes,
    phase: Phase,
    faults: int,
    body: bytes | None,
) -> Broadcast:
    """A phase's first round. `body`: what this member says; None for one that only listens and passes on."""
    by_identifier = {member.identifier: member for member in members}
    start = Broadcast(identity, by_identifier, session, phase, rounds(faults, len(by_identifier)), 1, {}, ())
    if body is None:
        return start
    signed = identity.sign(session, phase, body)
    me = identity.identifier
    return replace(start, heard={me: (signed,)}, fresh=(Relay(me, body, (Link(me, signed.signature),)),))


def rounds(faults: int, members: int) -> int:
    """How many a phase has. With all but one cheating, that one has nobody to agree with: so never `members`."""
    return min(faults + 1, members - 1)
