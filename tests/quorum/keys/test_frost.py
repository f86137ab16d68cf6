"""RFC 9591, appendix E.1 byte for byte, and the rules around it."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import combinations
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum.keys import frost
from labsupport.quorum.keys.frost import (
    KeyPackage,
    NoSignature,
    PublicKeyPackage,
    SignatureShare,
    SigningCommitments,
    SigningNonces,
    SigningRefused,
)
from labsupport.quorum.keys.group import ONE, Point, Scalar, base
from labsupport.quorum.keys.polynomial import Polynomial

VECTORS = json.loads((Path(__file__).parent / "rfc9591.json").read_text())


def dealt(
    threshold: int, members: int, secret: Scalar | None = None, epoch: int = 1
) -> dict[int, KeyPackage]:
    """A key by a trusted dealer: quick, for tests of signing alone."""
    return packages(Polynomial.random(secret or Scalar.random(), threshold), members, epoch)


def packages(polynomial: Polynomial, members: int, epoch: int = 1) -> dict[int, KeyPackage]:
    threshold = len(polynomial.coefficients)
    shares = {i: polynomial.at(i) for i in range(1, members + 1)}
    public = PublicKeyPackage(
        epoch, threshold, base(polynomial.coefficients[0]), {i: base(share) for i, share in shares.items()}
    )
    return {i: KeyPackage(i, share, public) for i, share in shares.items()}


def signed(keys: dict[int, KeyPackage], who: tuple[int, ...], message: bytes) -> bytes:
    nonces = {i: frost.commit(keys[i]) for i in who}
    public = keys[who[0]].public
    asked = frost.package(message, (each.commitments for each in nonces.values()), public)
    return frost.aggregate(asked, [frost.sign(asked, nonces[i], keys[i]) for i in who], public)


def verifies(public: PublicKeyPackage, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public.verifying_key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def hexed(text: str) -> Scalar:
    return Scalar.decode(bytes.fromhex(text))


def test_the_vectors_of_the_rfc() -> None:
    inputs = VECTORS["inputs"]
    message = bytes.fromhex(inputs["message"])
    polynomial = Polynomial(
        (hexed(inputs["group_secret_key"]), *map(hexed, inputs["share_polynomial_coefficients"]))
    )
    keys = packages(polynomial, 3)
    for each in inputs["participant_shares"]:
        assert keys[each["identifier"]].share.encode().hex() == each["participant_share"]
    public = keys[1].public
    assert public.verifying_key.hex() == inputs["group_public_key"]

    nonces: dict[int, SigningNonces] = {}
    first = {each["identifier"]: each for each in VECTORS["round_one_outputs"]["outputs"]}
    for i, each in first.items():
        random = iter(
            [
                bytes.fromhex(each["hiding_nonce_randomness"]),
                bytes.fromhex(each["binding_nonce_randomness"]),
            ]
        )
        nonces[i] = frost.commit(keys[i], lambda _, random=random: next(random))
        assert [each.encode().hex() for each in nonces[i]._pair or ()] == [
            each["hiding_nonce"],
            each["binding_nonce"],
        ]
        assert nonces[i].commitments.hiding.encode().hex() == each["hiding_nonce_commitment"]
        assert nonces[i].commitments.binding.encode().hex() == each["binding_nonce_commitment"]
    # In whatever order commitments came.
    asked = frost.package(message, reversed([each.commitments for each in nonces.values()]), public)
    for i, factor in frost.binding_factors(public.key, asked).items():
        assert factor.encode().hex() == first[i]["binding_factor"]
    shares = [frost.sign(asked, nonces[i], keys[i]) for i in inputs["participant_list"]]
    assert [share.share.encode().hex() for share in shares] == [
        each["sig_share"] for each in VECTORS["round_two_outputs"]["outputs"]
    ]
    assert all(frost.verify_share(asked, share, public) for share in shares)
    signature = frost.aggregate(asked, shares, public)
    assert signature.hex() == VECTORS["final_output"]["sig"]
    assert verifies(public, signature, message)
    assert not verifies(public, signature, message + b"!")


@pytest.mark.parametrize(("threshold", "members"), [(t, n) for n in (3, 5, 7) for t in range(2, n + 1)])
def test_the_first_and_the_last_of_a_threshold_sign(threshold: int, members: int) -> None:
    keys = dealt(threshold, members)
    everyone = tuple(keys)
    for who in (everyone[:threshold], everyone[-threshold:], everyone):
        assert verifies(keys[1].public, signed(keys, who, b"m"), b"m")


def test_every_threshold_of_five() -> None:
    keys = dealt(3, 5)
    for who in combinations(keys, 3):
        assert verifies(keys[1].public, signed(keys, who, b"m"), b"m")


@settings(max_examples=10, deadline=None)
@given(st.binary(max_size=2000), st.permutations(range(1, 6)))
def test_any_message_by_any_signers(message: bytes, order: list[int]) -> None:
    keys = dealt(3, 5)
    assert verifies(keys[1].public, signed(keys, tuple(order[:3]), message), message)


def test_too_few_sign_nothing() -> None:
    keys = dealt(3, 5)
    with pytest.raises(SigningRefused, match="2 signers, and 3 are needed"):
        signed(keys, (1, 2), b"m")
    # Even where a signer did not look: the shares of two are no signature.
    careless = {
        i: KeyPackage(i, keys[i].share, PublicKeyPackage(1, 2, wrong_key(keys, (1, 2)), two(keys)))
        for i in (1, 2)
    }
    assert not verifies(keys[1].public, signed(careless, (1, 2), b"m"), b"m")


def two(keys: dict[int, KeyPackage]) -> dict[int, Point]:
    return {i: keys[1].public.shares[i] for i in (1, 2)}


def wrong_key(keys: dict[int, KeyPackage], who: tuple[int, ...]) -> Point:
    from labsupport.quorum.keys.polynomial import public_at_zero

    return public_at_zero({i: keys[1].public.shares[i] for i in who})


def test_a_nonce_signs_once() -> None:
    keys = dealt(2, 3)
    nonces = {i: frost.commit(keys[i]) for i in (1, 2)}
    asked = frost.package(b"m", (each.commitments for each in nonces.values()), keys[1].public)
    frost.sign(asked, nonces[1], keys[1])
    with pytest.raises(SigningRefused, match="signed before"):
        frost.sign(asked, nonces[1], keys[1])
    other = frost.package(
        b"other", (each.commitments for each in nonces.values()), dealt(2, 3, epoch=2)[1].public
    )
    with pytest.raises(SigningRefused, match="epoch 2"):
        frost.sign(other, nonces[2], keys[2])
    with pytest.raises(SigningRefused, match="signed before"):  # a refusal takes them as well
        frost.sign(asked, nonces[2], keys[2])
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="used once"):
            attempt(nonces[1])


def test_what_a_signer_refuses() -> None:
    keys = dealt(2, 3)

    def refuses(words: str, change: list[SigningCommitments], who: int = 1) -> None:
        nonces = frost.commit(keys[who])
        others = {each.identifier: each for each in change}
        asked = frost.SigningPackage(
            1, keys[1].public.digest, b"m", tuple({who: nonces.commitments, **others}.values())
        )
        with pytest.raises(SigningRefused, match=words):
            frost.sign(asked, nonces, keys[who])

    stranger = SigningCommitments(9, base(ONE), base(ONE))
    other = SigningCommitments(2, base(ONE), base(ONE))
    refuses("must be members", [stranger])
    refuses("must be members, each once, in order", [other], who=3)
    refuses("not those that it made", [SigningCommitments(1, base(ONE), base(ONE)), other])
    refuses("1 signers", [])
    sharing = dealt(2, 3)[1].public  # of the same epoch: a ceremony that was begun twice
    nonces = {i: frost.commit(keys[i]) for i in (1, 2)}
    foreign = frost.package(b"m", (each.commitments for each in nonces.values()), sharing)
    with pytest.raises(SigningRefused, match="another sharing of epoch 1"):
        frost.sign(foreign, nonces[1], keys[1])
    mine = frost.commit(keys[1])
    asked = frost.SigningPackage(1, keys[1].public.digest, b"m", (mine.commitments, mine.commitments, other))
    with pytest.raises(SigningRefused, match="each once"):
        frost.sign(asked, mine, keys[1])


def test_a_wrong_share_is_found_and_named() -> None:
    keys = dealt(3, 5)
    nonces = {i: frost.commit(keys[i]) for i in (1, 3, 4)}
    asked = frost.package(b"m", (each.commitments for each in nonces.values()), keys[1].public)
    shares = {i: frost.sign(asked, nonces[i], keys[i]) for i in nonces}
    wrong = {i: SignatureShare(i, shares[i].share + ONE) for i in (3, 4)}
    with pytest.raises(NoSignature) as caught:
        frost.aggregate(asked, [*(shares | wrong).values()], keys[1].public)
    assert caught.value.culprits == (3, 4)
    with pytest.raises(NoSignature, match=r"Shares of \[1, 3\]") as caught:
        frost.aggregate(asked, [shares[1], shares[3]], keys[1].public)
    assert caught.value.culprits == ()
    assert len(frost.aggregate(asked, shares.values(), keys[1].public)) == 64


def test_shares_that_do_not_belong_to_the_key_make_no_package() -> None:
    keys = dealt(2, 3)
    public = keys[1].public
    with pytest.raises(ValueError, match="not the share of member 2"):
        KeyPackage(2, keys[1].share, public)
    with pytest.raises(ValueError, match="do not make the public key"):
        PublicKeyPackage(1, 2, base(ONE), public.shares)
    with pytest.raises(ValueError, match="as many shares as its threshold"):
        PublicKeyPackage(1, 4, public.key, public.shares)
    assert PublicKeyPackage.from_bytes(public.to_bytes()) == public


def test_the_repr_of_what_a_member_holds_has_no_secret() -> None:
    key = dealt(2, 3)[1]
    nonces = frost.commit(key)
    shown = f"{key!r} {nonces!r} {nonces.commitments!r}"
    for secret in (key.share, *(nonces._pair or ())):
        assert secret.encode().hex() not in shown
        assert repr(secret.encode()) not in shown
