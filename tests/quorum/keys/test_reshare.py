"""A key handed on: the same public key, new shares, and the old ones worth nothing beside them."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum.keys import dkg, frost, reshare
from labsupport.quorum.keys.deal import Plan
from labsupport.quorum.keys.dkg import CeremonyFailed, Result
from labsupport.quorum.keys.frost import KeyPackage, NoSignature, SigningRefused
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.keys.polynomial import public_at_zero
from tests.quorum.keys import simulation
from tests.quorum.keys.simulation import (
    CHEATS,
    Honest,
    agreed,
    check_evidence,
    check_key,
    named,
    new_keys,
    run,
    values_in,
    whole_secret,
)
from tests.quorum.keys.test_frost import dealt, verifies

Identities = dict[int, Identity]
Keys = dict[int, KeyPackage]


def made(members: int, threshold: int) -> tuple[Identities, Keys]:
    return {i: Identity.new(i) for i in range(1, members + 1)}, dealt(threshold, members)


def hand_on(
    keys: Keys,
    old: Identities,
    new: Identities,
    threshold: int,
    cheats: dict[int, type[Honest]] | None = None,
) -> tuple[Plan, dict[int, simulation.Outcome]]:
    public = next(iter(keys.values())).public
    members = [each.member for each in old.values()], [each.member for each in new.values()]
    plan = reshare.plan(public, *members, threshold)
    parts = [
        (cheats or {}).get(i, Honest)(plan, who, keys.get(i) if i in old else None)
        for i, who in (old | new).items()
    ]
    return plan, run(parts)


def keys_of(outcomes: dict[int, simulation.Outcome]) -> Keys:
    return {i: each.key for i, each in outcomes.items() if isinstance(each, Result) and each.key}


SIZES = {
    "grow 3 to 5": (3, 2, 5, 3),
    "shrink 5 to 3": (5, 3, 3, 2),
    "a higher threshold": (5, 2, 5, 4),
    "a lower threshold": (5, 4, 5, 2),
    "the same again": (3, 2, 3, 2),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_the_public_key_stays(sizes: tuple[int, int, int, int]) -> None:
    before, old_threshold, after, threshold = sizes
    who, keys = made(max(before, after), old_threshold)
    who = {i: who[i] for i in range(1, max(before, after) + 1)}
    _, keys = made(before, old_threshold)
    old, new = ({i: who[i] for i in range(1, count + 1)} for count in (before, after))
    _, outcomes = hand_on(keys, old, new, threshold)
    assert named(agreed(outcomes)) == set()
    public = check_key(outcomes)
    was = keys[1].public
    assert public.key == was.key
    assert (public.epoch, public.threshold, tuple(public.shares)) == (was.epoch + 1, threshold, tuple(new))
    assert not set(public.shares.values()) & set(was.shares.values())
    assert {i for i, each in outcomes.items() if each.key is None} == set(old) - set(new)
    assert whole_secret(list(keys_of(outcomes).values())) == whole_secret(list(keys.values()))


@pytest.mark.parametrize("identifier", [2, 4], ids=["under its old number", "under a new one"])
def test_a_lost_member_is_replaced_by_a_threshold_of_the_others(identifier: int) -> None:
    who, keys = made(3, 2)
    stay = {i: who[i] for i in (1, 3)}
    _, outcomes = hand_on(keys, stay, stay | {identifier: Identity.new(identifier)}, 2)
    public = check_key(outcomes)
    assert set(public.shares) == {1, 3, identifier}
    assert public.key == keys[1].public.key
    keys_now = keys_of(outcomes)
    for pair in combinations(keys_now, 2):
        assert public_at_zero({i: public.shares[i] for i in pair}) == public.key


def test_a_key_made_together_is_handed_on_again_and_again() -> None:
    who, keys = new_keys(3, 2)
    first = keys[1].public.key
    for count, threshold in ((5, 3), (4, 2), (3, 3)):
        who = {i: who.get(i) or Identity.new(i) for i in range(1, 8)}
        old = {i: who[i] for i in list(keys)[: keys[1].public.threshold]}  # no more than are needed
        _, outcomes = hand_on(keys, old, {i: who[i] for i in range(1, count + 1)}, threshold)
        keys = keys_of(outcomes)
        assert check_key(outcomes).key == first
    assert keys[1].public.epoch == 4


def test_old_and_new_shares_together_do_not_sign() -> None:
    who, old = made(3, 2)
    _, outcomes = hand_on(old, who, who, 2)
    new = keys_of(outcomes)
    nonces = {1: frost.commit(old[1]), 2: frost.commit(new[2])}
    asked = frost.package(b"m", (each.commitments for each in nonces.values()), new[1].public)
    with pytest.raises(SigningRefused, match="of epoch 2, the key of epoch 1"):
        frost.sign(asked, nonces[1], old[1])
    # Even a member that signs with its old share for the new epoch: its partial signature is a wrong one.
    nonces = {1: frost.commit(old[1]), 2: frost.commit(new[2])}
    asked = frost.package(b"m", (each.commitments for each in nonces.values()), new[1].public)
    lying = KeyPackage(1, old[1].share, old[1].public)
    object.__setattr__(lying, "public", new[1].public)
    shares = [frost.sign(asked, nonces[1], lying), frost.sign(asked, nonces[2], new[2])]
    with pytest.raises(NoSignature) as caught:
        frost.aggregate(asked, shares, new[2].public)
    assert caught.value.culprits == (1,)
    # Nor do all such pairs have the key between them.
    for i, j in ((1, 2), (1, 3), (2, 3), (3, 1)):
        mixed = {i: old[1].public.shares[i], j: new[1].public.shares[j]}
        assert public_at_zero(mixed) != old[1].public.key
    assert verifies(new[1].public, simulation.signed(new, (1, 3), b"m"), b"m")


RESHARE_CHEATS = [*(cheat for cheat in CHEATS if cheat is not simulation.RogueKey), simulation.OtherSecret]


@pytest.mark.parametrize("cheat", RESHARE_CHEATS, ids=lambda cheat: cheat.__name__)
def test_each_cheat_of_an_old_holder_is_named(cheat: type[Honest]) -> None:
    who, keys = made(3, 2)
    old = {i: who[i] for i in (1, 2, 3)}
    plan, outcomes = hand_on(keys, old, old | {4: Identity.new(4)}, 2, {2: cheat})
    assert named(agreed(outcomes)) == ({(2, cheat.culprit_of)} if cheat.culprit_of else set())
    check_evidence(plan, outcomes, [2])
    public = check_key(outcomes)
    assert public.key == keys[1].public.key
    assert (2 in public.shares) == (cheat.culprit_of is None)


@settings(max_examples=6, deadline=None)
@given(st.sampled_from(CHEATS), st.sampled_from(CHEATS), st.integers(1, 5), st.data())
def test_an_old_and_a_new_cheater(
    one: type[Honest], other: type[Honest], which: int, data: st.DataObject
) -> None:
    """One of five old holders (threshold 3) and one of two newcomers, who deals nothing, whose messages reach some."""
    who, keys = made(7, 3)
    keys = dealt(3, 5)
    old = {i: who[i] for i in range(1, 6)}
    passive = (
        other if other in (simulation.Silent, simulation.TellsOne, simulation.Garbage) else simulation.Crashes
    )
    cheats = {which: one, 6: passive}
    public = keys[1].public
    plan = reshare.plan(public, [who[i].member for i in old], [each.member for each in who.values()], 3)
    parts = [cheats.get(i, Honest)(plan, each, keys.get(i)) for i, each in who.items()]
    outcomes = run(parts, lambda *where: data.draw(st.booleans(), label=str(where)))
    agreed(outcomes)
    check_evidence(plan, outcomes, cheats)
    assert check_key(outcomes).key == public.key


def test_a_newcomer_that_complains_falsely_is_named() -> None:
    who, keys = made(3, 2)
    plan, outcomes = hand_on(keys, who, who | {4: Identity.new(4)}, 2, {4: simulation.Forges})
    assert named(agreed(outcomes)) == {(4, "FalseComplaint")}
    check_evidence(plan, outcomes, [4])
    assert 4 not in check_key(outcomes).shares


def test_nobody_holds_the_secret_while_a_key_is_handed_on() -> None:
    who, keys = made(5, 3)
    secret = whole_secret(list(keys.values()))
    public = keys[1].public
    everyone = [each.member for each in who.values()]
    plan = reshare.plan(public, everyone, everyone, 3)
    held: list[set[bytes]] = []
    run(
        [Honest(plan, each, keys[i]) for i, each in who.items()],
        watch=lambda part: held.append(set(values_in(part.ceremony))),
    )
    assert held
    assert not any(secret.encode() in state for state in held)


def test_too_few_old_holders_fail_and_say_so() -> None:
    who, keys = made(3, 2)
    with pytest.raises(ValueError, match="by a threshold of the last epoch's"):
        hand_on(keys, {1: who[1]}, who, 2)
    _, outcomes = hand_on(keys, {i: who[i] for i in (1, 2)}, who, 2, {2: simulation.Silent})
    failed = agreed(outcomes)
    assert isinstance(failed, CeremonyFailed)
    assert str(failed) == "Too few dealers are left. Named: 2 (Silence)."


def test_plans_that_make_no_sense() -> None:
    who, keys = made(3, 2)
    public = keys[1].public
    everyone = [each.member for each in who.values()]
    with pytest.raises(ValueError, match="One identifier, two identities"):
        reshare.plan(public, everyone, [Identity.new(1).member, *everyone[1:]], 2)
    plan = reshare.plan(public, everyone, everyone, 2)
    assert Plan.from_bytes(plan.to_bytes()) == plan
    with pytest.raises(ValueError, match="needs its share of epoch 1"):
        reshare.start(plan, who[1])
    with pytest.raises(ValueError, match="needs its share of epoch 1"):
        reshare.start(plan, who[1], dealt(2, 3)[1])  # of another key
    with pytest.raises(ValueError, match=r"reshare\.start"):
        dkg.start(plan, who[1])
    with pytest.raises(ValueError, match=r"dkg\.start"):
        reshare.start(dkg.plan(everyone, 2), who[1])
