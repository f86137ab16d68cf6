"""The leader's log comes to all: appends, heartbeats, what is committed."""

from __future__ import annotations

from labsupport.quorum.raft import snapshots
from labsupport.quorum.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from labsupport.quorum.raft.node import Node, Progress
from labsupport.quorum.raft.records import Busy, Entry, Kind, Position

APPEND_BYTES = 1 << 20  # in one message; a single entry may be larger


def propose(node: Node, kind: Kind, data: bytes) -> int:
    """Add an entry to the leader's log; it is sent with the next Ready, together with others."""
    node.require_leader()
    if node.successor is not None:
        raise Busy("leadership is being handed over")
    entry = Entry(node.log.last_index + 1, node.term, kind, data)
    node.log.append(entry)
    return entry.index


def flush(node: Node) -> None:
    """Send to each peer what it lacks, if nothing is on its way to it, and heartbeats that are due."""
    for peer, progress in node.peers.items():
        if node.beat_due:
            _send_heartbeat(node, peer, progress)
        if progress.waiting:
            continue
        if progress.next <= node.log.last_index or progress.snapshot:
            _send_entries(node, peer, progress)
        elif progress.told < min(node.log.commit, progress.match):
            _send_heartbeat(node, peer, progress)
    node.beat_due = False


def _send_entries(node: Node, peer: int, progress: Progress) -> None:
    previous = progress.next - 1
    term = node.log.term(previous)
    if term is None or progress.snapshot:
        snapshots.send(node, peer, progress)
    else:
        entries = node.log.after(previous, limit=APPEND_BYTES)
        node.send(peer, Append(node.term, previous, term, entries, node.log.commit))
        progress.told = node.log.commit
    progress.waiting = max(1, node.election_ticks // 2)


def _send_heartbeat(node: Node, peer: int, progress: Progress) -> None:
    # Beyond what is known to be equal, the peer may hold something else.
    progress.told = min(node.log.commit, progress.match)
    node.send(peer, Heartbeat(node.term, progress.told, node.round))


def on_append(node: Node, sender: int, message: Append) -> None:
    """Take the leader's entries, or say where this log could agree with its own."""
    last = node.log.merge(Position(message.previous_index, message.previous_term), message.entries)
    if last is None:
        hint = node.log.common(message.previous_index, message.previous_term)
        node.send(sender, AppendReply(node.term, message.previous_index, True, hint.index, hint.term))
    else:
        node.log.commit_to(min(message.commit, last))
        node.send(sender, AppendReply(node.term, last))


def on_append_reply(node: Node, progress: Progress, reply: AppendReply) -> None:
    """Note how far the peer's log is known to be equal, or go back to where it could be."""
    if reply.rejected:
        if reply.index == progress.next - 1 and reply.index > progress.match:  # else it is late
            common = node.log.common(min(reply.hint_index, reply.index - 1), reply.hint_term)
            progress.next = max(progress.match, common.index) + 1
            progress.waiting = 0
        return
    if reply.index >= progress.match:
        progress.match = reply.index
        progress.next = reply.index + 1
        progress.waiting = 0
        sending = progress.snapshot
        if sending and (progress.match >= sending.index or node.log.term(progress.match) is not None):
            progress.snapshot = None  # it has arrived, or is no longer needed


def on_heartbeat(node: Node, sender: int, message: Heartbeat) -> None:
    """Hear the leader."""
    node.log.commit_to(message.commit)
    node.send(sender, HeartbeatReply(node.term, message.round))


def on_heartbeat_reply(node: Node, progress: Progress, reply: HeartbeatReply) -> None:
    """The peer still follows."""
    progress.round = max(progress.round, reply.round)


def settle(node: Node) -> None:
    """Commit what a majority of the voters has on disk, if it is of this term.

    An entry of an earlier term is never committed by counting, only by a later one of this term (paper, section 5.4.2
    and figure 8). The leader counts itself once its own disk has the entry, and not at all if it is leaving.
    """
    matches = [
        node.log.saved if voter == node.id else node.peers[voter].match for voter in node.configuration.voters
    ]
    matches.sort(reverse=True)
    index = matches[node.configuration.majority - 1]
    if index > node.log.commit and node.log.term(index) == node.term:
        node.log.commit_to(index)


def tick(node: Node) -> None:
    """Let a tick pass at the leader."""
    node.beat += 1
    if node.beat >= node.heartbeat_ticks:
        node.beat, node.beat_due = 0, True
    for progress in node.peers.values():
        progress.silent += 1
        if progress.waiting:
            progress.waiting -= 1  # at 0 it is sent again
