"""Which sets of members can sign, by trying all of them: a real ceremony, real signatures, one process (lab O4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from labsupport.course.views import Table
from labsupport.quorum.keys import dkg, frost
from labsupport.quorum.keys.frost import KeyPackage, PublicKeyPackage
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.keys.polynomial import public_at_zero

MESSAGE = b"who may sign?"


def ceremony(members: int, threshold: int) -> dict[int, KeyPackage]:
    """A key that so many members have made together, each one's part of it by its number."""
    identities = [Identity.new(number) for number in range(1, members + 1)]
    plan = dkg.plan([each.member for each in identities], threshold)
    parts = {each.identifier: dkg.start(plan, each) for each in identities}
    while any(each.result is None for each in parts.values()):
        said = {number: each.outgoing for number, each in parts.items()}
        parts = {
            number: each.advance(message for author, message in said.items() if author != number)
            for number, each in parts.items()
        }
    return {n: each.result.key for n, each in parts.items() if each.result and each.result.key}


def signature(keys: Mapping[int, KeyPackage], who: Iterable[int]) -> bytes | None:
    """What these members bring about if they sign as if nobody else were needed; None where nobody signs.

    Members that are too few refuse. These do not: they take their shares for all of the key. With a threshold of them
    that is so; fewer make a signature of some other key.
    """
    shares = {number: keys[number].public.shares[number] for number in who}
    if not shares:
        return None
    public = PublicKeyPackage(1, len(shares), public_at_zero(shares), shares)
    mine = [KeyPackage(number, keys[number].share, public) for number in shares]
    nonces = {each.identifier: frost.commit(each) for each in mine}
    asked = frost.package(MESSAGE, [each.commitments for each in nonces.values()], public)
    return frost.aggregate(asked, [frost.sign(asked, nonces[each.identifier], each) for each in mine], public)


def verifies(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this is an ordinary Ed25519 signature (RFC 8032), by the library `cryptography`."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def sets(members: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """All sets of members, the small ones first; the empty one is among them."""
    everyone = sorted(members)
    for size in range(len(everyone) + 1):
        yield from combinations(everyone, size)


def able(keys: Mapping[int, KeyPackage]) -> list[tuple[int, ...]]:
    """The sets of members whose signature verifies."""
    public = next(iter(keys.values())).public.verifying_key
    found = ((who, signature(keys, who)) for who in sets(keys))
    return [who for who, made in found if made and verifies(public, made, MESSAGE)]


def table(keys: Mapping[int, KeyPackage]) -> Table:
    """How many sets of each size there are, and how many of them can sign."""
    can, everyone = able(keys), list(sets(keys))
    rows = [
        (
            str(size),
            str(sum(len(each) == size for each in everyone)),
            str(sum(len(each) == size for each in can)),
        )
        for size in range(len(keys) + 1)
    ]
    title = f"{len(can)} of {len(everyone)} sets of {len(keys)} members can sign"
    return Table(title, ("members in the set", "such sets", "can sign"), rows)
