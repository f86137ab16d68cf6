"""Members come and go, one at a time (dissertation, chapter 4)."""

from __future__ import annotations

from labsupport.quorum.raft import replication
from labsupport.quorum.raft.node import Node, Progress
from labsupport.quorum.raft.records import Busy, Configuration, Invalid

CAUGHT_UP = 100  # entries that a learner may lack when it is given a vote


def change(node: Node, new: Configuration) -> int:
    """Propose another configuration; it holds from now on. Returns its index.

    Two majorities of configurations that differ in one voter have a member in common (section 4.1); that is so only if
    there is no other change under way, and none of an earlier term that could still come back: therefore an entry of
    this term must be committed first (Ongaro, "bug in single-server membership changes", raft-dev, July 2015).
    """
    node.require_leader()
    old = node.configuration
    if new == old:
        return node.log.configuration_index
    allowed(old, new)
    if node.log.configuration_index > node.log.commit:
        raise Busy("another change of the members is not committed yet")
    if not node.own_term_committed:
        raise Busy("the leader has not committed anything in its term yet")
    for promoted in new.voters - old.voters:
        if not caught_up(node, promoted):
            raise Busy(f"learner {promoted} lacks more than {CAUGHT_UP} entries, or is not heard of")
    index = replication.propose(node, "config", new.encode())
    for added in new.members - old.members:
        node.leaving.pop(added, None)
        node.peers.setdefault(added, Progress(next=node.log.last_index, silent=node.election_ticks))
    for removed in old.members - new.members - {node.id}:
        node.leaving[removed] = index
    return index


def allowed(old: Configuration, new: Configuration) -> None:
    """Raise Invalid unless `new` is one step from `old`: a learner more, one promoted, or one member less."""
    if new.voters & new.learners:
        raise Invalid("a member is either a voter or a learner")
    if not new.voters:
        raise Invalid("the last voter cannot be removed")
    added, removed = new.members - old.members, old.members - new.members
    promoted, demoted = new.voters & old.learners, new.learners & old.voters
    if len(added) + len(removed) + len(promoted) + len(demoted) != 1:
        raise Invalid("one member at a time: add a learner, promote it, or remove a member")
    if added & new.voters:
        raise Invalid("a new member is a learner first, and is promoted once it has caught up")
    if demoted:
        raise Invalid("a voter is removed, not made a learner")


def caught_up(node: Node, peer: int) -> bool:
    """Whether a peer is heard of and has nearly all (dissertation, section 4.2.1)."""
    progress = node.peers.get(peer)
    if progress is None or progress.match == 0 or progress.silent >= node.election_ticks:
        return False
    return progress.match + CAUGHT_UP >= node.log.last_index


def settle(node: Node) -> None:
    """Let go of who was removed, once that is committed; a leader that was removed steps down (section 4.2.2)."""
    if node.log.configuration_index > node.log.commit:
        return
    if node.leaving or node.id not in node.configuration.voters:
        replication.flush(node)  # their last messages tell them that their removal is committed
    for removed in [peer for peer, index in node.leaving.items() if index <= node.log.commit]:
        del node.leaving[removed]
        node.peers.pop(removed, None)
    if node.id not in node.configuration.voters:
        node.follow(node.term, None)
