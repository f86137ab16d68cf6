"""Who leads: elections, the question before them, the check of quorum, and handing over."""

from __future__ import annotations

from labsupport.quorum.raft.messages import TimeoutNow, VoteReply, VoteRequest
from labsupport.quorum.raft.node import Node, Progress
from labsupport.quorum.raft.records import Busy, Entry, Invalid


def campaign(node: Node, *, pre: bool = True, forced: bool = False) -> None:
    """Begin an election, or first ask whether it could be won (`pre`), which raises nobody's term.

    Only a voter does. Without the question, a member that was cut off would come back with a high term and depose a
    leader that everybody else hears (dissertation, section 9.6).
    """
    if node.id not in node.configuration.voters or node.disk_failed:
        node.restart()
        return
    node.follow(node.term, None)
    if pre:
        node.role, term = "pre-candidate", node.term + 1
    else:
        node.term, node.vote = node.term + 1, node.id
        node.role, term = "candidate", node.term
    node.votes = {node.id: True}
    request = VoteRequest(term, node.log.last_index, node.log.last_term, pre, forced)
    for voter in sorted(node.configuration.voters - {node.id}):
        node.send(voter, request)
    _count(node)


def on_vote_request(node: Node, sender: int, request: VoteRequest) -> None:
    """Grant a vote once a term, and to none whose log is older (paper, sections 5.2 and 5.4.1)."""
    free = node.vote == sender or (node.vote is None and node.leader is None)
    if request.pre:
        free = request.term > node.term
    granted = free and not node.log.newer_than(request.last_term, request.last_index)
    if granted and not request.pre:
        node.vote = sender
        node.restart()
    node.send(sender, VoteReply(request.term if granted else node.term, granted, request.pre))


def on_vote_reply(node: Node, sender: int, reply: VoteReply) -> None:
    """Count a vote."""
    if node.role != ("pre-candidate" if reply.pre else "candidate"):
        return
    if reply.term != (node.term + 1 if reply.pre and reply.granted else node.term):
        return  # of an earlier election
    node.votes.setdefault(sender, reply.granted)
    _count(node)


def _count(node: Node) -> None:
    if node.configuration.decided_by({voter for voter, granted in node.votes.items() if granted}):
        if node.role == "pre-candidate":
            campaign(node, pre=False)
        else:
            lead(node)
    elif node.configuration.decided_by({voter for voter, granted in node.votes.items() if not granted}):
        node.follow(node.term, None)


def lead(node: Node) -> None:
    """Win: begin the term with a no-op, so that what came before can be committed (dissertation, section 6.4)."""
    node.follow(node.term, None)
    node.role, node.leader = "leader", node.id
    node.peers = {
        peer: Progress(next=node.log.last_index + 1) for peer in node.configuration.members - {node.id}
    }
    node.beat, node.beat_due = 0, True
    node.log.append(Entry(node.log.last_index + 1, node.term, "noop"))


def check_quorum(node: Node) -> None:
    """Step down if no majority was heard of within an election timeout (dissertation, section 6.2).

    So clients of a leader that is cut off are sent elsewhere, and one who cannot be heard does not stay for ever.
    """
    heard = {peer for peer, progress in node.peers.items() if progress.silent < node.election_ticks}
    if not node.configuration.decided_by(heard | {node.id}):
        node.follow(node.term, None)


def transfer(node: Node, to: int) -> None:
    """Hand leadership to `to`: it is brought up to date, then told to begin (dissertation, section 3.10).

    Until then nothing is accepted. Whoever has not begun within an election timeout does not get it.
    """
    node.require_leader()
    if to == node.id:
        return
    if to not in node.configuration.voters:
        raise Invalid(f"{to} is no voter, so it cannot lead")
    if node.successor not in (None, to):
        raise Busy("leadership is being handed to another member")
    node.successor, node.handover, node.told_to_begin = to, 0, False


def settle(node: Node) -> None:
    """Tell the successor to begin, once it has everything."""
    if node.successor is not None:
        progress = node.peers.get(node.successor)
        if progress is None:
            node.successor = None
        elif progress.match == node.log.last_index and not node.told_to_begin:
            node.told_to_begin = True
            node.send(node.successor, TimeoutNow(node.term))


def on_timeout_now(node: Node, sender: int) -> None:
    """The leader wants this member to lead."""
    if sender == node.leader:
        campaign(node, pre=False, forced=True)


def tick(node: Node) -> None:
    """Let a tick pass."""
    if node.role != "leader":
        node.elapsed += 1
        if node.elapsed >= node.timeout:
            campaign(node)
        return
    if node.successor is not None:
        node.handover += 1
        if node.handover >= node.election_ticks:
            node.successor = None
    check_quorum(node)
