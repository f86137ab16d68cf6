"""Who may lead, by the rules of the paper (section 5) and the dissertation (3.10, 4.2.3, 6.2, 9.6)."""

from __future__ import annotations

import pytest

from labsupport.quorum.raft.messages import Append, Heartbeat, TimeoutNow, VoteReply, VoteRequest
from labsupport.quorum.raft.records import Busy, Configuration, Entry, Invalid, NotLeader, Saved
from tests.quorum.raft.cluster import Cluster


def replies(cluster: Cluster, to: int) -> list[VoteReply]:
    cluster.run()
    return [message for _, whom, message in cluster.sent if whom == to and isinstance(message, VoteReply)]


def test_a_timeout_elects_one_leader_that_all_follow() -> None:
    cluster = Cluster(5)
    cluster.tick(25)
    leaders = {raft.soft_state().leader for raft in cluster.rafts.values()}
    assert len(leaders) == 1
    assert None not in leaders


def test_one_vote_a_term_also_after_a_restart() -> None:
    cluster = Cluster(5)
    cluster.rafts[1].step(2, VoteRequest(7, 1, 1))
    cluster.rafts[1].step(3, VoteRequest(7, 1, 1))
    assert [reply.granted for reply in replies(cluster, 2)] == [True]
    assert [reply.granted for reply in replies(cluster, 3)] == [False]
    cluster.disks[1].lose_power()
    cluster.restart(1)
    cluster.rafts[1].step(3, VoteRequest(7, 1, 1))
    cluster.rafts[1].step(2, VoteRequest(7, 1, 1))  # asked twice, answered twice
    assert [reply.granted for reply in replies(cluster, 3)] == [False, False]
    assert [reply.granted for reply in replies(cluster, 2)] == [True, True]


@pytest.mark.parametrize(
    ("term", "index", "granted"), [(2, 9, False), (3, 3, False), (3, 4, True), (4, 1, True)]
)
def test_no_vote_for_an_older_log(term: int, index: int, granted: bool) -> None:
    cluster = Cluster(3)
    voter = cluster.rafts[1]
    entries = (Entry(2, 2, "noop"), Entry(3, 3, "noop"), Entry(4, 3, "noop"))
    voter.step(3, Append(3, 1, 1, entries, 1))
    cluster.tick(10, only=1)  # it hears its leader no more
    voter.step(2, VoteRequest(8, index, term))
    assert replies(cluster, 2)[-1].granted is granted


def test_the_question_before_an_election_changes_nothing() -> None:
    cluster = Cluster(3)
    cluster.isolate(3)
    cluster.tick(100, only=3)
    assert cluster.rafts[3].soft_state().term == 1
    assert cluster.rafts[3].soft_state().role == "pre-candidate"


def test_who_hears_the_leader_does_not_help_to_depose_it() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    term = leader.soft_state().term
    cluster.rafts[2].step(3, VoteRequest(term + 5, 99, 99))
    cluster.rafts[1].step(3, VoteRequest(term + 5, 99, 99))
    assert not replies(cluster, 3)
    assert leader.soft_state().role == "leader"
    cluster.rafts[2].step(3, VoteRequest(term + 5, 99, 99, forced=True))
    assert [reply.granted for reply in replies(cluster, 3)] == [True]


def test_a_leader_without_a_majority_steps_down_within_an_election_timeout() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(1)
    cluster.tick(9, only=1)
    assert leader.soft_state().role == "leader"
    cluster.tick(1, only=1)
    assert leader.soft_state().role == "follower"
    with pytest.raises(NotLeader):
        leader.propose(b"x")


def test_a_lost_leader_is_replaced_within_two_election_timeouts_and_one_exchange() -> None:
    cluster = Cluster(5)
    cluster.first(1)
    cluster.isolate(1)
    cluster.tick(20)
    assert {cluster.rafts[id_].soft_state().leader for id_ in (2, 3, 4, 5)} & {2, 3, 4, 5}


def test_a_late_message_of_an_old_leader_is_answered_with_the_newer_term() -> None:
    cluster = Cluster(3)
    cluster.first(1)
    cluster.isolate(1)
    cluster.tick(40)
    cluster.heal()
    cluster.rafts[2].step(1, Heartbeat(1, 0))
    cluster.run()
    assert any(to == 1 and message.term > 1 for _, to, message in cluster.sent)


def test_leadership_is_handed_over_with_all_entries() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    leader.propose(b"a")
    leader.transfer(3)
    with pytest.raises(Busy):
        leader.propose(b"b")
    cluster.run()
    assert cluster.rafts[3].soft_state().role == "leader"
    assert leader.soft_state().leader == 3
    assert cluster.commands(3) == [b"a"]


def test_a_successor_that_does_not_answer_is_given_up() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.blocked = lambda _from, to, message: to == 3 and isinstance(message, TimeoutNow)
    leader.transfer(3)
    cluster.tick(9)
    with pytest.raises(Busy):
        leader.propose(b"a")
    cluster.tick(1)
    leader.propose(b"a")
    cluster.run()
    assert cluster.commands(2) == [b"a"]


def test_a_learner_cannot_lead_and_a_member_of_nothing_is_silent() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.add(4, Saved())
    leader.change(Configuration(frozenset({1, 2, 3}), frozenset({4})))
    cluster.tick(10)
    with pytest.raises(Invalid):
        leader.transfer(4)
    cluster.add(5, Saved())
    cluster.sent.clear()
    cluster.rafts[5].campaign()
    cluster.rafts[4].campaign()
    cluster.run()
    assert not [message for _, _, message in cluster.sent if isinstance(message, VoteRequest)]
