from __future__ import annotations

import copy
import pickle
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.quorum.keys import proofs
from labsupport.quorum.keys.frost import PublicKeyPackage
from labsupport.quorum.keys.group import (
    IDENTITY,
    ONE,
    ORDER,
    ZERO,
    InvalidEncoding,
    Point,
    Scalar,
    base,
)
from labsupport.quorum.keys.identity import Identity
from labsupport.quorum.keys.polynomial import Polynomial, commitment_at, lagrange
from labsupport.quorum.keys.wire import InvalidMessage

numbers = st.integers(0, ORDER - 1)
few = settings(max_examples=20, deadline=None)
P = 2**255 - 19


@few
@given(numbers, numbers)
def test_scalars_are_numbers_modulo_the_order(a: int, b: int) -> None:
    one, other = Scalar.of(a), Scalar.of(b)
    assert one + other == Scalar.of(a + b)
    assert one - other == Scalar.of(a - b)
    assert one * other == Scalar.of(a * b)
    assert Scalar.decode(one.encode()) == one
    assert one.encode() == a.to_bytes(32, "little")
    if a:
        assert one * one.inverse() == ONE


@few
@given(numbers, numbers)
def test_points_are_scalars_times_the_generator(a: int, b: int) -> None:
    one, other = base(Scalar.of(a)), base(Scalar.of(b))
    assert one + other == base(Scalar.of(a + b))
    assert one - other == base(Scalar.of(a - b))
    assert one * Scalar.of(b) == base(Scalar.of(a * b))


def test_the_edges_that_libsodium_calls_errors() -> None:
    some = base(Scalar.of(5))
    assert base(ZERO) == IDENTITY == some * ZERO == IDENTITY * Scalar.of(5) == some - some
    assert some + IDENTITY == some
    with pytest.raises(ZeroDivisionError):
        ZERO.inverse()


@pytest.mark.parametrize("number", [ORDER, ORDER + 1, 2**255 - 1, 2**256 - 1])
def test_a_scalar_that_is_not_reduced_is_refused(number: int) -> None:
    with pytest.raises(InvalidEncoding):
        Scalar.decode(number.to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_other_sizes_are_refused(size: int) -> None:
    for kind in (Scalar, Point):
        with pytest.raises(InvalidEncoding):
            kind.decode(bytes(size))


SMALL = {  # y coordinates of the eight points of small order, and the sign of x
    "identity": (1).to_bytes(32, "little"),
    "identity, sign set": (1 | 1 << 255).to_bytes(32, "little"),
    "identity, not canonical": (P + 1).to_bytes(32, "little"),
    "order 2": (P - 1).to_bytes(32, "little"),
    "order 4": bytes(32),
    "order 4, not canonical": P.to_bytes(32, "little"),
    "order 8": bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
}
OTHER = {
    "no point of the curve": (2).to_bytes(32, "little"),
    "all ones": b"\xff" * 32,
}


@pytest.mark.parametrize("data", [*SMALL.values(), *OTHER.values()], ids=[*SMALL, *OTHER])
def test_points_that_rfc_9591_refuses(data: bytes) -> None:
    with pytest.raises(InvalidEncoding):
        Point.decode(data)


def test_a_point_outside_of_the_subgroup_is_refused() -> None:
    """On the curve and of no small order: a good point plus one of order 8."""
    mixed = base(Scalar.of(7)) + Point(SMALL["order 8"])
    assert mixed + Point(SMALL["order 8"]) != mixed  # it is a point that can be calculated with
    with pytest.raises(InvalidEncoding):
        Point.decode(mixed._encoded)


def test_the_identity_is_never_encoded() -> None:
    with pytest.raises(InvalidEncoding):
        IDENTITY.encode()


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Scalar.random()
    identity = Identity.new(1)
    for value, hidden in ((secret, secret.encode()), (identity, identity.seed)):
        shown = f"{value} {value!r} {value!s} {[value]} {{'k': value}}"
        assert hidden.hex() not in shown
        assert repr(hidden) not in shown
        assert str(int.from_bytes(hidden, "little")) not in shown
    assert repr(Polynomial.random(secret, 2)).count("hidden") == 2
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt(secret)
    with pytest.raises(TypeError, match="neither"):
        asdict(Polynomial.random(secret, 2))


@few
@given(numbers, st.integers(2, 7), st.sets(st.integers(1, 255), min_size=7, max_size=9))
def test_any_threshold_of_shares_is_the_secret_and_feldman_checks_each(
    secret: int, threshold: int, identifiers: set[int]
) -> None:
    polynomial = Polynomial.random(Scalar.of(secret), threshold)
    commitment = polynomial.commitment()
    chosen = tuple(identifiers)[:threshold]
    total = ZERO
    for i in chosen:
        assert commitment_at(commitment, i) == base(polynomial.at(i))
        total = total + polynomial.at(i) * lagrange(chosen, i)
    assert total == Scalar.of(secret)
    fewer = chosen[1:]
    assert sum_of(polynomial, fewer) != Scalar.of(secret)


def sum_of(polynomial: Polynomial, chosen: tuple[int, ...]) -> Scalar:
    total = ZERO
    for i in chosen:
        total = total + polynomial.at(i) * lagrange(chosen, i)
    return total


@pytest.mark.parametrize(("identifiers", "mine"), [((1, 2), 3), ((1, 1, 2), 1), ((0, 1), 1), ((), 1)])
def test_lagrange_refuses_what_the_rfc_calls_invalid(identifiers: tuple[int, ...], mine: int) -> None:
    with pytest.raises(ValueError, match=r"must be one of|identifies no member"):
        lagrange(identifiers, mine)


def test_a_proof_is_for_one_point_and_one_context() -> None:
    secret, other = Scalar.random(), Scalar.random()
    proof = proofs.prove_possession(secret, b"a")
    assert proofs.check_possession(base(secret), proof, b"a")
    assert not proofs.check_possession(base(secret), proof, b"b")
    assert not proofs.check_possession(base(other), proof, b"a")
    assert not proofs.check_possession(
        base(secret), proofs.Possession(proof.nonce, proof.response + ONE), b"a"
    )
    there = base(Scalar.random())
    same = proofs.prove_same_secret(secret, there, b"a")
    assert proofs.check_same_secret(base(secret), there, there * secret, same, b"a")
    assert not proofs.check_same_secret(base(secret), there, there * secret, same, b"b")
    assert not proofs.check_same_secret(base(secret), there, there * other, same, b"a")
    assert not proofs.check_same_secret(base(other), there, there * other, same, b"a")


@few
@given(st.binary(max_size=200))
def test_foreign_bytes_are_a_message_or_one_clear_error(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        PublicKeyPackage.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [b"\x94\x01\x02\xc4\x20" + bytes(32) + b"\x80", b"\x91" * 60_000, b"\xdd\xff\xff\xff\xff", bytes(70_000)],
    ids=["no point", "deep", "long array", "too large"],
)
def test_hostile_bytes_cost_nothing(data: bytes) -> None:
    with pytest.raises(InvalidMessage):
        PublicKeyPackage.from_bytes(data)
