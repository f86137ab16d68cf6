"""Evidence: third parties are convinced by it, and nobody can make it up about an honest member."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from labsupport.quorum.keys import blame, deal, frost, proofs
from labsupport.quorum.keys.blame import WrongPartialSignature
from labsupport.quorum.keys.broadcast import Bundle
from labsupport.quorum.keys.deal import Deal, Plan, Verdict
from labsupport.quorum.keys.frost import SignatureShare
from labsupport.quorum.keys.group import ONE, Scalar, base
from labsupport.quorum.keys.identity import Identity, Signed
from labsupport.quorum.keys.wire import InvalidMessage
from tests.quorum.keys import simulation
from tests.quorum.keys.simulation import CHEATS, Honest, fresh_plan, identities, run
from tests.quorum.keys.test_frost import dealt, packages


def all_accusations(signed: list[Signed]) -> list[blame.Accusation]:
    """Every accusation that can be made of these."""
    alone = [kind(each) for kind in (blame.Malformed, blame.WrongCommitment) for each in signed]
    pairs = [
        kind(one, other)
        for kind in (blame.Equivocation, blame.WrongShare, blame.FalseComplaint)
        for one, other in product(signed, signed)
    ]
    return [*alone, *pairs]


def said(part: Honest) -> list[Signed]:
    """What a member has heard; and each signature that it passes on, as if its signer had said that itself."""
    bundle = Bundle.from_bytes(part.ceremony.outgoing)
    passed_on = [
        Signed(link.signer, bundle.session, bundle.phase, relay.body, link.signature)
        for relay in bundle.relays
        for link in relay.links
    ]
    return [each for heard in part.ceremony.talk.heard.values() for each in heard] + passed_on


def signed_in(plan: Plan, parts: list[Honest]) -> list[Signed]:
    """All that members sign in a ceremony."""
    collected: dict[bytes, Signed] = {}
    run(parts, watch=lambda part: collected.update((each.signature, each) for each in said(part)))
    return list(collected.values())


def test_what_honest_members_sign_proves_nothing_against_them() -> None:
    """Not in any combination, not with what they sign in another ceremony, beside what a cheater signs."""
    who = identities(3)
    plan, other = fresh_plan(who, 2), fresh_plan(who, 2)
    signed = signed_in(plan, [Honest(plan, each) for each in who.values()])
    there = signed_in(
        other, [simulation.WrongShares(other, who[1]), Honest(other, who[2]), Honest(other, who[3])]
    )
    # Three deals, three verdicts, and each of these passed on by two; of the other ceremony without the last.
    signed += [each for each in there if each.by(who[each.signer].member)]
    assert len(signed) == 6 + 12 + 6
    for judged in (plan, other):
        proven = [each for each in all_accusations(signed) if each.proven(judged)]
        assert {(type(each).__name__, each.culprit) for each in proven} == (
            {("WrongShare", 1)} if judged is other else set()
        )


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.__name__)
def test_evidence_survives_the_wire_and_no_change(cheat: type[Honest]) -> None:
    who = identities(3)
    plan = fresh_plan(who, 2)
    result = run([cheat(plan, who[1]), Honest(plan, who[2]), Honest(plan, who[3])])[2]
    for accusation in result.accusations:
        again = blame.read(accusation.to_bytes())
        assert again == accusation
        if isinstance(accusation, blame.Silence):
            assert not accusation.proven(plan)
            continue
        assert again.proven(plan)
        assert not again.proven(fresh_plan(who, 2))  # of another ceremony
        for change in ({"signer": 2}, {"body": accusation.signed.body + b"\0"}, {"phase": "sign"}):
            signed = msgspec.structs.replace(accusation.signed, **change)
            assert not msgspec.structs.replace(accusation, signed=signed).proven(plan)


def test_a_dealer_cannot_make_a_complaint_false_afterwards() -> None:
    """It deals one member a wrong share, hears the complaint, and then shows a deal in which that share is right."""
    who = identities(3)
    plan = fresh_plan(who, 2)
    dealer, victim = who[1], who[2]
    right = deal.make(plan, 1, Scalar.random())
    sealed = (right.sealed[0], bytes(32), right.sealed[2])
    wrong = msgspec.structs.replace(right, sealed=sealed)  # the same ephemeral key in both
    complaint = deal.receive(plan, victim, 1, wrong)
    assert isinstance(complaint, deal.Complaint)
    verdict = victim.sign(plan.session, "verdict", Verdict((complaint,)).to_bytes())
    for made, name in ((right, "right"), (wrong, "wrong")):
        shown = dealer.sign(plan.session, "deal", made.to_bytes())
        assert not blame.FalseComplaint(verdict, shown).proven(plan), name
        assert blame.WrongShare(shown, verdict).proven(plan) == (made is wrong)


def test_a_complaint_opens_no_share_but_its_own() -> None:
    """What one complaint shows is of one dealer's ephemeral key; with another dealer's it opens nothing."""
    who = identities(3)
    plan = fresh_plan(who, 2)
    deals = {i: deal.make(plan, i, Scalar.random()) for i in (1, 3)}
    shown = deals[1].ephemeral * who[2].sealing_secret
    assert deal.open_share(plan, 1, deals[1], 2, shown) is not None
    assert deal.open_share(plan, 3, deals[3], 2, shown) is None
    assert deal.open_share(plan, 1, deals[1], 3, shown) is None
    stolen = msgspec.structs.replace(
        deals[3], ephemeral=deals[1].ephemeral, ephemeral_possession=deals[1].ephemeral_possession
    )
    assert deal.fault(plan, 3, stolen) == "the dealer does not know its ephemeral key"
    assert deal.fault(plan, 3, deals[3]) == ""


def test_a_deal_is_for_its_dealer_and_its_session() -> None:
    who = identities(3)
    plan = fresh_plan(who, 2)
    made = deal.make(plan, 1, Scalar.random())
    assert deal.fault(plan, 2, made) == "the dealer does not know the secret that it deals"
    assert deal.fault(fresh_plan(who, 2), 1, made) == "the dealer does not know the secret that it deals"
    assert Deal.from_bytes(made.to_bytes()) == made


@pytest.fixture
def signing() -> tuple[
    dict[int, Identity], dict[int, frost.KeyPackage], frost.SigningPackage, dict[int, SignatureShare]
]:
    keys = dealt(2, 3)
    nonces = {i: frost.commit(keys[i]) for i in (1, 2)}
    asked = frost.package(b"m", (each.commitments for each in nonces.values()), keys[1].public)
    return identities(3), keys, asked, {i: frost.sign(asked, nonces[i], keys[i]) for i in nonces}


def test_a_wrong_partial_signature_is_proven(signing: tuple) -> None:
    who, keys, asked, shares = signing
    public, member = keys[1].public, who[1].member
    wrong = SignatureShare(1, shares[1].share + ONE)
    for body, guilty in (
        (shares[1].to_bytes(), False),
        (wrong.to_bytes(), True),
        (shares[2].to_bytes(), True),  # another's
        (b"no share", True),
    ):
        accusation = WrongPartialSignature(asked, who[1].sign(asked.digest, "sign", body))
        assert WrongPartialSignature.from_bytes(accusation.to_bytes()) == accusation
        assert accusation.culprit == 1
        assert accusation.proven(member, public) == guilty
        assert not accusation.proven(who[2].member, public)


def test_an_honest_signer_is_not_to_blame_for_another_package_or_another_key(signing: tuple) -> None:
    who, keys, asked, shares = signing
    signed = who[1].sign(asked.digest, "sign", shares[1].to_bytes())
    changed = msgspec.structs.replace(asked, message=b"other")
    assert not WrongPartialSignature(changed, signed).proven(who[1].member, keys[1].public)
    for epoch in (1, 2):  # the same key, shared anew; once by a ceremony of the same epoch
        polynomial = simulation.Polynomial.random(simulation.whole_secret(list(keys.values())), 2)
        other = packages(polynomial, 3, epoch)[1].public
        assert other.key == keys[1].public.key
        assert not WrongPartialSignature(asked, signed).proven(who[1].member, other)


def test_bytes_that_are_no_accusation() -> None:
    for data in (b"", b"\x91\xa7Silence", b"\x93\xa6Nobody\x01\x01", bytes(70_000)):
        with pytest.raises(InvalidMessage):
            blame.read(data)


def test_a_proof_with_the_wrong_key_is_a_false_complaint() -> None:
    """Right share, and a point that would open it to something else: the proof does not hold."""
    who = identities(2)
    plan = fresh_plan(who, 2)
    made = deal.make(plan, 1, Scalar.random())
    lie = Scalar.random()
    context = deal._context(plan, b"complaint", 1, 2)
    proof = proofs.prove_same_secret(lie, made.ephemeral, context)
    complaint = deal.Complaint(1, made.digest, made.ephemeral * lie, proof)
    assert not deal.upheld(plan, 2, complaint, made)
    assert deal.open_share(plan, 1, made, 2, complaint.shared) is None
    assert base(lie) != plan.member(2).sealing_key
