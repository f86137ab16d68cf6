"""A key handed on: new shares for new holders or a new threshold, under the same public key (Desmedt, Jajodia, 1997).

Each old holder deals its own share with a new polynomial; a threshold of these deals, weighed as for a signature, is a
sharing of the same secret. Who has lost its share only receives. The new polynomials are random: shares of two epochs
together determine nothing, so what leaked before is worth nothing afterwards, once a threshold has forgotten it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence

from labsupport.quorum.keys import dkg
from labsupport.quorum.keys.deal import Plan
from labsupport.quorum.keys.frost import KeyPackage, PublicKeyPackage
from labsupport.quorum.keys.group import SIZE, Scalar
from labsupport.quorum.keys.identity import Identity, Member
from labsupport.quorum.keys.polynomial import lagrange


def plan(
    public: PublicKeyPackage, dealers: Iterable[Member], receivers: Iterable[Member], threshold: int
) -> Plan:
    """Hand on the key from `dealers` (old holders that still have their share) to `receivers`. Errors: ValueError.

    A member that stays is in both. One that comes back with nothing is a receiver only, under its old identifier or a
    new one.
    """
    old = {member.identifier: member for member in dealers}
    new = {member.identifier: member for member in receivers}
    if any(old[i] != new[i] for i in old.keys() & new.keys()):
        raise ValueError(
            "One identifier, two identities: a new member takes an identifier that no dealer has."
        )
    members = tuple(member for _, member in sorted((old | new).items()))
    return Plan(
        public.epoch + 1,
        threshold,
        members,
        tuple(sorted(old)),
        tuple(sorted(new)),
        secrets.token_bytes(SIZE),
        public,
    )


def start(plan: Plan, identity: Identity, key: KeyPackage | None = None) -> dkg.Ceremony:
    """A member's first round; `key` is what it has of the last epoch. Then as in dkg.py. Errors: ValueError."""
    before = plan.previous
    if before is None:
        raise ValueError("This plan makes a new key: dkg.start.")
    deals = identity.identifier in plan.dealers
    if deals and (key is None or key.public != before):
        raise ValueError(f"A dealer needs its share of epoch {before.epoch}, the one that is handed on.")
    secret = key.share if deals and key else None
    return dkg.begin(plan, identity, secret, lambda qualified: weights(before, qualified))


def weights(before: PublicKeyPackage, qualified: Sequence[int]) -> Mapping[int, Scalar]:
    """Of the qualified the first ones, as many as the old threshold, by Lagrange: so they add up to the key."""
    chosen = tuple(sorted(qualified)[: before.threshold])
    return {dealer: lagrange(chosen, dealer) for dealer in chosen}
