"""A real ceremony in one process: exactly the sets from the threshold on make a signature that verifies."""

from __future__ import annotations

from labsupport.course.lessons import signers


def test_sets_of_the_threshold_and_larger_ones_sign() -> None:
    keys = signers.ceremony(4, 3)
    everyone = list(signers.sets(keys))
    assert len(everyone) == 2**4
    assert signers.able(keys) == [who for who in everyone if len(who) >= 3]
    assert "5 of 16 sets of 4 members can sign" in str(signers.table(keys))


def test_too_few_make_a_signature_of_another_key() -> None:
    keys = signers.ceremony(3, 2)
    public = keys[1].public.verifying_key
    made = signers.signature(keys, (1,))
    assert made is not None
    assert not signers.verifies(public, made, signers.MESSAGE)
    whole = signers.signature(keys, (1, 3))
    assert whole is not None
    assert signers.verifies(public, whole, signers.MESSAGE)
    assert not signers.verifies(public, whole, b"another message")
