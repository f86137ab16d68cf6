"""A lab's Quorum: there when the lab is started, spoken to from the desk, and gone without a trace with the lab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from labsupport import kube
from labsupport.cluster import quorum as operator
from labsupport.cluster.interface import Cluster
from labsupport.course.lessons.quorums import Quorum, members
from labsupport.course.worlds import ownership
from labsupport.course.worlds.removal import remove
from labsupport.course.worlds.snapshot import at_rest, difference_when_settled
from labsupport.course.worlds.world import World, start

from .worlds import WORLDS, read

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FOUR = read("four")


@pytest.fixture
def api(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiClient]:
    known = ownership.identifiers() | {lab.id for lab in (*WORLDS, FOUR)}
    monkeypatch.setattr(ownership, "identifiers", lambda: known)
    made = kube.connect(cluster.kubeconfig)
    yield made
    remove(made, ownership.ownership())
    kube.delete(made, operator.documents())


def test_it_is_there_answers_and_goes(api: ApiClient) -> None:
    one, four = World(api, WORLDS[0]), World(api, FOUR)
    operator.install(api, replicas=1)
    start(one)
    before = at_rest(api)
    start(four)
    first = at_rest(api)
    here = Quorum(four)
    here.settle(1.0)  # `start` has waited for that
    said = here.statuses()
    assert sorted(each["role"] for each in said.values() if each) == ["follower", "follower", "leader"]
    assert here.put("colour", "blue")["revision"] == 1
    assert here.get("colour")["value"] == "blue"
    public = (here.object() or {})["status"]["publicKey"]
    assert here.sign("text")["public_key"] == public
    here.kill("q-0")
    here.settle()
    assert "no answer" not in str(members(four))

    again = start(four)
    assert again.removed.notes == []  # nobody had to take its finalizer off
    assert difference_when_settled(api, first, 20) == []
    assert (here.object() or {})["status"]["publicKey"] != public
    removed = start(one).removed
    assert removed.notes == []
    assert difference_when_settled(api, before, 20) == []
