"""The authority in its Secret, and one root following another."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from labsupport.errors import LabsError
from labsupport.mesh.identity import ca, store

if TYPE_CHECKING:
    from .conftest import Cluster

IDENTITY = ca.Identity("shop", "orders", "orders-1", "u-1")


def test_the_first_makes_it_and_the_next_reads_it(cluster: Cluster, now: datetime) -> None:
    made = store.load_or_create(None, now=now)
    secret = cluster.secrets["mesh-ca"]
    assert secret["metadata"]["labels"] == {"labs.example/part-of": "course"}
    assert sorted(secret["data"]) == ["root-1.crt", "root-1.key", "signer"]
    read = store.load_or_create(None)
    assert read == made
    assert ca.key_pem(read.signer.key) == ca.key_pem(made.signer.key)


def test_who_loses_the_race_takes_what_the_other_made(cluster: Cluster, now: datetime) -> None:
    others = ca.Authority(ca.new_root("root-1", now))
    cluster.race = store.secret_of(others)
    assert store.load_or_create(None, now=now) == others


def test_each_step_of_a_rotation_survives_the_secret(authority: ca.Authority, now: datetime) -> None:
    def through(made: ca.Authority) -> ca.Authority:
        read = store.authority_from_secret(store.secret_of(made))
        assert read == made
        assert read.roots_pem == made.roots_pem
        assert [bool(root.key) for root in (read.signer, *read.others)] == [
            bool(root.key) for root in (made.signer, *made.others)
        ]
        return read

    old = authority.signer
    prepared = through(store.prepare(through(authority), now))
    assert store.phase(prepared) == store.PREPARED
    assert prepared.signer == old
    switched = through(store.switch(prepared))
    assert store.phase(switched) == store.SWITCHED
    assert switched.signer.name == "root-2"
    assert [root.name for root in switched.others] == ["root-1"]
    settled = through(store.finish(switched))
    assert store.phase(settled) == store.SETTLED
    assert old.pem not in settled.roots_pem
    assert store.prepare(settled, now).others[0].name == "root-3"


def test_parties_one_step_apart_trust_each_other(authority: ca.Authority, now: datetime) -> None:
    """Whoever is a step behind or ahead has the root of the other's newest certificate, and of the one before."""
    steps = [authority, store.prepare(authority, now)]
    steps.append(store.switch(steps[-1]))
    steps.append(store.finish(steps[-1]))
    for earlier, later in itertools.pairwise(steps):
        assert later.signer.pem in earlier.roots_pem
        # At the last step all have certificates of the new root already: that is what it waits for.
        assert earlier.signer.pem in later.roots_pem


@pytest.mark.parametrize(
    ("at", "step"),
    [(0, store.switch), (0, store.finish), (1, store.finish), (2, store.switch)],
)
def test_a_step_out_of_turn_is_refused(authority: ca.Authority, now: datetime, at: int, step: Any) -> None:
    steps = [authority, store.prepare(authority, now)]
    steps.append(store.switch(steps[-1]))
    with pytest.raises(store.RotationError, match=r"first|before|trusted"):
        step(steps[at])
    for begun in steps[1:]:
        with pytest.raises(store.RotationError):
            store.prepare(begun, now)


def test_saving_names_the_version_it_was_made_from(
    cluster: Cluster, authority: ca.Authority, now: datetime
) -> None:
    secret = store.secret_of(authority)
    secret["metadata"] |= {"resourceVersion": "7", "uid": "x"}
    secret["metadata"]["labels"]["mine"] = "yes"
    cluster.secrets["mesh-ca"] = secret
    stored = store.save(None, copy.deepcopy(secret), store.prepare(authority, now))
    assert stored["metadata"]["resourceVersion"] == "7"
    assert stored["metadata"]["labels"] == {"mine": "yes", "labs.example/part-of": "course"}
    assert "root-2.key" in cluster.secrets["mesh-ca"]["data"]


def test_what_cannot_be_read_says_so(authority: ca.Authority, now: datetime) -> None:
    good = store.secret_of(authority)
    other = store.secret_of(ca.Authority(ca.new_root("root-1", now + timedelta(days=1))))
    for change in (
        {},
        {"signer": good["data"]["signer"]},
        good["data"] | {"root-1.crt": "AAAA"},
        good["data"] | {"root-1.key": other["data"]["root-1.key"]},
        {name: text for name, text in good["data"].items() if name != "root-1.key"},
    ):
        with pytest.raises(LabsError, match="mesh-ca"):
            store.authority_from_secret(good | {"data": change})


def test_a_key_that_is_read_twice_makes_no_other_authority(authority: ca.Authority) -> None:
    again = store.authority_from_secret(store.secret_of(authority))
    assert again == authority
    assert again != replace(authority, others=(authority.signer,))
