"""The log at all members, by the rules of the paper (5.3, 5.4, 7) and the dissertation (4, 6.4)."""

from __future__ import annotations

import pytest

from labsupport.quorum.raft import replication, snapshots
from labsupport.quorum.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    SnapshotChunk,
    VoteRequest,
)
from labsupport.quorum.raft.records import (
    Configuration,
    Entry,
    HardState,
    NotLeader,
    Position,
    Saved,
    Snapshot,
)
from labsupport.quorum.raft.storage import DiskFull
from tests.quorum.raft.cluster import Cluster, grown

THREE = frozenset({1, 2, 3})


def noop(index: int, term: int) -> Entry:
    return Entry(index, term, "noop")


def with_logs(cluster: Cluster, terms: dict[int, list[int]]) -> None:
    """Let members begin with entries of these terms after the first position, as in the paper's figures."""
    for id_, own in terms.items():
        entries = tuple(noop(index, term) for index, term in enumerate(own, start=2))
        first = cluster.storages[id_].saved
        saved = Saved(HardState(max([1, *own])), first.snapshot, first.start, entries)
        cluster.storages[id_].replace(saved)
        cluster.restart(id_)


def test_a_proposal_is_committed_by_a_majority_and_applied_by_all_in_order() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(3)
    indexes = [leader.propose(data) for data in (b"a", b"b")]
    cluster.run()
    assert indexes == [3, 4]
    assert cluster.commands(2) == [b"a", b"b"]
    assert cluster.commands(3) == []
    cluster.heal()
    cluster.tick(10)
    assert cluster.commands(3) == [b"a", b"b"]


def test_without_a_majority_nothing_is_committed() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(1)
    leader.propose(b"a")
    cluster.run()
    assert cluster.commands(1) == []


def test_only_the_leader_takes_proposals_and_says_who_it_is() -> None:
    cluster = Cluster(3)
    cluster.first(1)
    with pytest.raises(NotLeader) as refusal:
        cluster.rafts[2].propose(b"a")
    assert refusal.value.leader == 1


@pytest.mark.parametrize(
    "terms",
    [
        [2, 2, 2, 5, 5, 6, 6],  # (a) one missing
        [2, 2],  # (b)
        [2, 2, 2, 5, 5, 6, 6, 6, 6],  # (c) one too many
        [2, 2, 2, 5, 5, 6, 6, 6, 7, 7],  # (d)
        [2, 2, 2, 5, 5, 5, 5],  # (e)
        [2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4],  # (f)
    ],
)
def test_a_follower_of_figure_7_gets_the_leaders_log(terms: list[int]) -> None:
    cluster = Cluster(3)
    leading = [2, 2, 2, 5, 5, 6, 6, 6]
    with_logs(cluster, {1: leading, 3: leading, 2: terms})
    cluster.isolate(2)  # (d) would not vote for it
    cluster.first(1)
    cluster.heal()
    cluster.tick(15)
    logs = [[cluster.rafts[id_].term_of(index) for index in range(2, 11)] for id_ in (1, 2)]
    assert logs[0] == logs[1]
    assert cluster.rafts[2].soft_state().commit == cluster.rafts[1].soft_state().commit == 10


def test_figure_8_an_old_entry_on_a_majority_is_not_committed_by_counting() -> None:
    cluster = Cluster(5)
    # (c): S1 leads term 4; the entry of term 2 is at S1, S2, and now at S3 as well. S5 has one of term 3.
    with_logs(cluster, {1: [2], 2: [2], 3: [], 4: [], 5: [3]})
    leader = cluster.rafts[1]
    cluster.blocked = lambda from_, to, _message: 5 in (from_, to)
    cluster.disks[1].operations = 0
    leader.step(2, VoteRequest(3, 0, 0))  # S1 has heard of term 3
    cluster.blocked = lambda from_, to, m: (
        5 in (from_, to) or (isinstance(m, Append) and any(entry.term == m.term for entry in m.entries))
    )
    cluster.elect(1)
    term = leader.soft_state().term
    leader.step(2, AppendReply(term, 2))
    leader.step(3, AppendReply(term, 2))  # a majority has it
    cluster.run()
    assert leader.soft_state().commit == 1
    # (d): S5 is elected, by S2, S3 and S4, and its entry of term 3 takes the place: allowed, for nothing was committed.
    cluster.blocked = lambda from_, to, _message: 1 in (from_, to)
    cluster.elect(5)
    cluster.tick(5)
    assert cluster.rafts[2].term_of(2) == 3
    assert cluster.rafts[2].soft_state().commit >= 3


def test_an_append_that_comes_late_takes_nothing_back() -> None:
    cluster = Cluster(3)
    follower = cluster.rafts[2]
    follower.step(1, Append(2, 1, 1, (noop(2, 2), noop(3, 2), noop(4, 2)), 1))
    follower.step(1, Append(2, 1, 1, (noop(2, 2),), 1))
    assert follower.last_index == 4
    follower.step(1, Append(3, 2, 2, (noop(3, 3),), 1))
    assert follower.last_index == 3


def test_a_follower_commits_only_what_it_is_known_to_share() -> None:
    cluster = Cluster(3)
    follower = cluster.rafts[2]
    follower.step(3, Append(2, 1, 1, (noop(2, 2), noop(3, 2)), 1))
    follower.step(1, Append(3, 1, 1, (), 9))
    assert follower.soft_state().commit == 1


def test_the_leader_counts_itself_only_once_its_disk_has_the_entry() -> None:
    cluster = Cluster(1)
    leader = cluster.first(1)
    leader.propose(b"a")
    ready = leader.ready()
    assert [entry.data for entry in ready.entries_to_save] == [b"a"]
    assert ready.committed == ()
    leader.advance()
    assert [entry.data for entry in leader.ready().committed] == [b"a"]


def test_one_append_is_on_its_way_and_the_rest_goes_together() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.blocked = lambda _from, _to, message: isinstance(message, AppendReply)
    for number in range(20):
        leader.propose(str(number).encode())
        cluster.run()
    cluster.heal()
    cluster.sent.clear()
    cluster.tick(5)
    appends = [m for from_, to, m in cluster.sent if (from_, to) == (1, 2) and isinstance(m, Append)]
    assert len(appends[0].entries) <= 20
    assert len(cluster.commands(2)) == 20
    assert len(appends) <= 3


# Reads.


def test_a_read_waits_for_a_majority_that_still_follows() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.blocked = lambda _from, _to, message: isinstance(message, HeartbeatReply)
    leader.read(7)
    cluster.run()
    assert cluster.reads[1] == []
    cluster.heal()
    cluster.tick(2)
    assert [read.context for read in cluster.reads[1]] == [7]


def test_an_answer_to_an_earlier_heartbeat_confirms_nothing() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(1)
    leader.read(7)
    leader.step(2, HeartbeatReply(leader.soft_state().term, 0))
    cluster.run()
    assert cluster.reads[1] == []
    leader.step(2, HeartbeatReply(leader.soft_state().term, 1))
    cluster.run()
    assert [read.context for read in cluster.reads[1]] == [7]


def test_a_read_waits_for_the_terms_first_commit() -> None:
    cluster = Cluster(3)
    cluster.blocked = lambda _from, _to, message: isinstance(message, AppendReply)
    leader = cluster.first(1)
    leader.read(7)
    cluster.run()
    assert cluster.reads[1] == []
    cluster.heal()
    cluster.tick(6)
    assert [(read.context, read.index) for read in cluster.reads[1]] == [(7, 2)]


def test_reads_of_a_deposed_leader_are_told_to_be_lost() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(1)
    leader.read(7)
    cluster.tick(40)
    assert cluster.lost_reads[1] == [7]
    assert cluster.reads[1] == []


# Snapshots.


def test_a_member_that_lacks_what_is_gone_is_sent_a_snapshot_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 10)
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(3)
    for number in range(10):
        leader.propose(str(number).encode())
    cluster.run()
    leader.compact(leader.applied, b"the state of all these commands", keep=0)
    cluster.run()
    cluster.heal()
    cluster.tick(10)
    assert cluster.restored[3] == [b"the state of all these commands"]
    chunks = [m for _, to, m in cluster.sent if to == 3 and isinstance(m, SnapshotChunk)]
    assert {chunk.offset for chunk in chunks} == {0, 10, 20, 30}
    cluster.disks[3].lose_power()
    cluster.restart(3)
    assert cluster.rafts[3].soft_state().commit == leader.soft_state().commit
    assert cluster.rafts[3].soft_state().configuration == Configuration(THREE)


def test_bytes_of_two_leaders_snapshots_are_not_mixed() -> None:
    cluster = Cluster(3)
    cluster.add(4, Saved())
    joining = cluster.rafts[4]
    joining.step(1, SnapshotChunk(2, 9, 2, Configuration(THREE), 0, b"one ", False))
    joining.step(2, SnapshotChunk(3, 9, 2, Configuration(THREE), 0, b"two", False))
    joining.step(2, SnapshotChunk(3, 9, 2, Configuration(THREE), 3, b" and three", True))
    cluster.handle(4)
    assert cluster.restored[4] == [b"two and three"]


def test_a_snapshot_of_what_is_here_keeps_what_follows() -> None:
    cluster = Cluster(3)
    follower = cluster.rafts[2]
    follower.step(1, Append(2, 1, 1, (noop(2, 2), noop(3, 2), noop(4, 2)), 1))
    follower.step(1, SnapshotChunk(2, 3, 2, Configuration(THREE), 0, b"", True))
    cluster.handle(2)
    assert follower.last_index == 4
    assert follower.soft_state().commit == 3
    assert cluster.restored[2] == []


def test_an_old_snapshot_changes_nothing() -> None:
    cluster = Cluster(3)
    follower = cluster.rafts[2]
    follower.step(1, Append(2, 1, 1, (noop(2, 2), noop(3, 2)), 3))
    follower.step(1, SnapshotChunk(2, 2, 2, Configuration(THREE), 0, b"old", True))
    cluster.handle(2)
    assert follower.soft_state().commit == 3
    assert cluster.restored[2] == []


def test_a_snapshot_knows_the_members_of_its_place() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    grown(cluster)
    before = leader.applied
    leader.change(Configuration(THREE | {4}))
    cluster.run()
    snapshot = leader.compact(before, b"", keep=0)
    assert snapshot == Snapshot(before, snapshot.term, Configuration(THREE, frozenset({4})))
    assert leader.soft_state().configuration == Configuration(THREE | {4})


# The disk is full.


def test_a_leader_whose_disk_is_full_leads_no_more_and_comes_back() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.disks[1].fail_at, cluster.disks[1].error = cluster.disks[1].operations + 1, 28
    cluster.disks[1].for_good = True
    leader.propose(b"a")
    with pytest.raises(DiskFull):
        cluster.handle(1)
    leader.save_failed()
    with pytest.raises(NotLeader):
        leader.propose(b"b")
    cluster.sent.clear()
    for _ in range(40):
        leader.tick()  # it asks nobody for a vote: it could not even save its own
    assert [m for m in leader.ready().messages_after_save if isinstance(m, VoteRequest)] == []
    own = cluster.rafts.pop(1)
    cluster.tick(40)
    other = next(raft for raft in cluster.rafts.values() if raft.soft_state().role == "leader")
    other.propose(b"c")
    cluster.disks[1].fail_at = None
    cluster.rafts[1] = own
    cluster.tick(20)
    assert cluster.commands(1) == cluster.commands(other.id)
    assert b"c" in cluster.commands(1)


def test_heartbeats_alone_do_not_commit_what_may_differ() -> None:
    cluster = Cluster(3)
    leader = cluster.first(1)
    cluster.isolate(3)
    leader.propose(b"a")
    cluster.run()
    cluster.sent.clear()
    cluster.tick(2)
    told = [m.commit for _, to, m in cluster.sent if to == 3 and isinstance(m, Heartbeat)]
    assert told
    assert max(told) < leader.soft_state().commit
    assert replication.APPEND_BYTES > 0
    assert Position(1, 1) == cluster.storages[3].saved.start
