"""Members come and go, by the rules of the dissertation (chapter 4)."""

from __future__ import annotations

import contextlib

import pytest

from labsupport.quorum.raft.messages import Append, AppendReply
from labsupport.quorum.raft.records import Busy, Configuration, Entry, Invalid, Saved
from tests.quorum.raft.cluster import Cluster, grown

THREE = frozenset({1, 2, 3})


def test_a_learner_gets_all_counts_for_nothing_and_is_promoted() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    leader.propose(b"a")
    grown(cluster)
    assert cluster.commands(4) == [b"a"]
    cluster.isolate(2, 3)  # 1 and 4 are no majority of 1, 2, 3
    leader.propose(b"b")
    cluster.run()
    assert cluster.commands(1) == [b"a"]
    cluster.heal()
    cluster.tick(10)
    leader.change(Configuration(THREE | {4}))
    cluster.run()
    assert cluster.rafts[4].soft_state().configuration.voters == {1, 2, 3, 4}


@pytest.mark.parametrize(
    ("voters", "learners", "told"),
    [
        ({1, 2, 3, 4}, set(), "a learner first"),
        ({1}, set(), "one member at a time"),
        (set(), set(), "last voter|one member"),
        ({1, 2}, {3}, "not made a learner"),
        ({1, 2, 3}, {3}, "either a voter or a learner"),
        ({1, 2, 3}, {4, 5}, "one member at a time"),
    ],
)
def test_other_changes_are_never_made(voters: set[int], learners: set[int], told: str) -> None:
    leader = Cluster(3).first(1)
    with pytest.raises(Invalid, match=told):
        leader.change(Configuration(frozenset(voters), frozenset(learners)))


def test_one_change_at_a_time_and_none_before_the_terms_first_commit() -> None:
    cluster = Cluster(3)
    cluster.blocked = lambda _from, _to, message: isinstance(message, AppendReply)
    leader = cluster.first(1)
    with pytest.raises(Busy, match="not committed anything in its term"):
        leader.change(Configuration(frozenset({1, 2})))
    cluster.heal()
    cluster.tick(6)
    cluster.isolate(1)
    leader.change(Configuration(frozenset({1, 2})))
    with pytest.raises(Busy, match="another change"):
        leader.change(Configuration(frozenset({1, 2}), frozenset({4})))
    assert leader.change(Configuration(frozenset({1, 2}))) == 3  # asked twice, done once


def test_a_learner_that_lacks_much_is_not_promoted() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    leader.change(Configuration(THREE, frozenset({4})))  # it does not run
    cluster.run()
    with pytest.raises(Busy, match="lacks more than"):
        leader.change(Configuration(THREE | {4}))


def test_a_learner_that_is_silent_is_not_promoted() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    grown(cluster)
    assert leader.peers()[4].caught_up
    cluster.isolate(4)
    cluster.tick(10)
    assert not leader.peers()[4].caught_up
    with pytest.raises(Busy, match="not heard of"):
        leader.change(Configuration(THREE | {4}))


def test_a_change_that_was_never_committed_is_undone_with_its_entry() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(1)
    leader.change(Configuration(THREE, frozenset({4})))
    assert leader.soft_state().configuration.learners == {4}
    cluster.tick(40)
    cluster.heal()
    cluster.tick(20)
    assert leader.soft_state().configuration == Configuration(THREE)


def test_who_is_removed_hears_of_it_and_a_removed_leader_steps_down() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    leader.change(Configuration(frozenset({1, 2})))
    cluster.run()
    assert cluster.rafts[3].soft_state().configuration.voters == {1, 2}
    leader.change(Configuration(frozenset({2})))
    cluster.run()
    assert leader.soft_state().role == "follower"
    cluster.elect(2).propose(b"alone")
    cluster.run()
    assert cluster.commands(2) == [b"alone"]


def test_two_leaders_with_other_members_each_commit_nothing_different() -> None:
    """The schedule of "bug in single-server membership changes" (Ongaro, raft-dev, July 2015), with a learner first."""
    cluster = Cluster(4)
    four = frozenset({1, 2, 3, 4})
    leader = cluster.first(1)
    cluster.add(5, Saved())
    leader.change(Configuration(four, frozenset({5})))
    cluster.tick(10)
    cluster.isolate(1, 5)
    leader.change(Configuration(four | {5}))  # only 1 and 5 have it
    cluster.run()

    def only(*ids: int) -> None:
        """Nobody hears anybody for a while, then these hear each other; the first of them is elected."""
        cluster.blocked = lambda _from, _to, _message: True
        cluster.tick(10)
        cluster.blocked = lambda from_, to, m: (
            not {from_, to} <= set(ids) or (isinstance(m, Append) and to == ids[-1] == 4)
        )
        for _ in range(2):
            if cluster.rafts[ids[0]].soft_state().role != "leader":
                cluster.rafts[ids[0]].campaign()
                cluster.run()

    only(2, 3, 4)  # 4 votes, and gets no entry
    with contextlib.suppress(Busy):
        cluster.rafts[2].change(Configuration(frozenset({2, 3, 4}), frozenset({5})))
    cluster.rafts[2].propose(b"x")
    cluster.tick(3)
    only(1, 4, 5)
    cluster.tick(3)
    assert cluster.rafts[1].soft_state().role == "leader"
    committed: dict[int, Entry] = {}
    for applied in cluster.applied.values():
        for entry in applied:
            assert committed.setdefault(entry.index, entry) == entry
