"""A snapshot comes to a member whose next entry the leader no longer has (paper, section 7)."""

from __future__ import annotations

from labsupport.quorum.raft.messages import AppendReply, SnapshotChunk, SnapshotReply
from labsupport.quorum.raft.node import Incoming, Node, Progress
from labsupport.quorum.raft.records import Position, Snapshot

CHUNK_BYTES = 256 << 10
LARGEST = 64 << 20  # bytes; what claims to be more is not collected


def send(node: Node, peer: int, progress: Progress) -> None:
    """Send the next chunk; one snapshot to its end, even if there is a newer one by then."""
    if progress.snapshot is None:
        progress.snapshot, progress.received = node.log.snapshot, 0
    snapshot, offset = progress.snapshot, progress.received
    if snapshot is None:
        raise AssertionError("the log does not begin at 1, and there is no snapshot")
    chunk = snapshot.data[offset : offset + CHUNK_BYTES]
    done = offset + len(chunk) >= len(snapshot.data)
    node.send(
        peer,
        SnapshotChunk(node.term, snapshot.index, snapshot.term, snapshot.configuration, offset, chunk, done),
    )


def on_chunk(node: Node, sender: int, chunk: SnapshotChunk) -> None:
    """Collect it; with the last one, take the snapshot."""
    position = Position(chunk.index, chunk.index_term)
    if chunk.index <= node.log.commit:
        node.incoming = None
        node.send(sender, AppendReply(node.term, node.log.commit))
        return
    # Another leader begins at 0, and its bytes of the same state may be other ones (another release wrote them).
    if node.incoming is None or node.incoming.position != position or chunk.offset == 0:
        node.incoming = Incoming(position)
    data = node.incoming.data
    if chunk.offset == len(data) and len(data) + len(chunk.data) <= LARGEST:
        data += chunk.data
        if chunk.done:
            node.incoming = None
            _take(node, Snapshot(chunk.index, chunk.index_term, chunk.configuration, bytes(data)))
            node.send(sender, AppendReply(node.term, node.log.commit))
            return
    node.send(sender, SnapshotReply(node.term, chunk.index, len(data)))


def _take(node: Node, snapshot: Snapshot) -> None:
    if node.log.term(snapshot.index) == snapshot.term:
        node.log.commit_to(snapshot.index)  # all of it is here: what follows stays (paper, figure 13, step 6)
    else:
        node.log.install(snapshot)


def on_chunk_reply(node: Node, progress: Progress, reply: SnapshotReply) -> None:
    """Go on where the peer's bytes end."""
    if progress.snapshot and reply.index == progress.snapshot.index:
        progress.received = min(reply.received, len(progress.snapshot.data))
        progress.waiting = 0
