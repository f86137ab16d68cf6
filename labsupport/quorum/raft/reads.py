"""Reads that see all that was acknowledged before, without an entry in the log (dissertation, section 6.4)."""

from __future__ import annotations

from labsupport.quorum.raft.node import Node


def read(node: Node, context: int) -> None:
    """Ask: whoever was deposed unawares must not answer, so a majority has to confirm first."""
    node.require_leader()
    node.unasked.append(context)


def settle(node: Node) -> None:
    """Begin a round of heartbeats for new reads; hand out those whose round a majority has answered.

    Before an entry of its own term is committed, a leader does not know how far its predecessor had committed.
    """
    if node.unasked and node.own_term_committed:
        node.round += 1
        node.beat_due = True
        node.asked += [(context, node.log.commit, node.round) for context in node.unasked]
        node.unasked = []
    while node.asked:
        context, index, round_ = node.asked[0]
        heard = {peer for peer, progress in node.peers.items() if progress.round >= round_}
        if not node.configuration.decided_by(heard | {node.id}):
            break
        node.confirmed.append((context, index))
        del node.asked[0]
