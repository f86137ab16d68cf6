"""What a member says of itself and of what it sees: `GET /v1/status`."""

from __future__ import annotations

from typing import Any

from labsupport.quorum.ceremony import held
from labsupport.quorum.keys.frost import PublicKeyPackage
from labsupport.quorum.keys.share import ShareError
from labsupport.quorum.member import LAG, Member
from labsupport.quorum.state import State


def status(member: Member) -> dict[str, Any]:
    """Everything, as JSON. Ids and identities are in hexadecimal."""
    consensus, state = member.consensus, member.state
    soft = consensus.raft.soft_state() if consensus else None
    peers = consensus.raft.peers() if consensus else {}
    connections = member.transport.connections()

    def one(each: int) -> dict[str, Any]:
        connection, peer = connections.get(each), peers.get(each)
        mine = each == member.volume.id
        return {
            "id": f"{each:x}",
            "name": member.name_of(each),
            "identity": state.members[each].identity.hex() if each in state.members else None,
            "reachable": mine or bool(connection and connection.connected),
            "problem": "" if mine or connection is None else connection.problem,
            "release": member.release.name if mine else connection.release if connection else "",
            "protocols": protocols(member) if mine else list(connection.protocols) if connection else [0, 0],
            # Only the leader knows these two.
            "match": consensus.raft.last_index if mine and consensus else peer.match if peer else None,
            "caught_up": True if mine else peer.caught_up if peer else None,
        }

    leader = soft.leader if soft else None
    return {
        "name": member.pod,
        "id": f"{member.volume.id:x}",
        "identity": member.identity.hex(),
        "cluster": member.config.cluster,
        "release": member.release.name,
        "protocols": protocols(member),
        "protocol": state.protocol if consensus else None,
        "phase": member.phase,
        "role": soft.role if soft else None,
        "term": soft.term if soft else 0,
        "leader": {"id": f"{leader:x}", "name": member.name_of(leader)} if leader else None,
        "commit": soft.commit if soft else 0,
        "applied": state.index,
        "revision": state.revision,
        "restored": state.restored,
        "voters": [one(each) for each in sorted(soft.configuration.voters)] if soft else [],
        "learners": [one(each) for each in sorted(soft.configuration.learners)] if soft else [],
        "key": key(member, state),
        "disk": {"free_bytes": member.volume.free(), "full": bool(consensus and consensus.disk_full)},
        "problems": problems(member),
    }


def key(member: Member, state: State) -> dict[str, Any]:
    """The key that the members hold together, and whether this one has its share."""
    names = {record.number: record.name for record in state.members.values()}
    running = state.ceremony
    public = PublicKeyPackage.from_bytes(state.key.public).verifying_key.hex() if state.key.public else ""
    return {
        "state": "running" if running and not state.key.epoch else state.key.state,
        "ceremony": state.key.ceremony,
        "running": running.ceremony if running else None,
        "epoch": state.key.epoch,
        "threshold": state.key.threshold,
        "public": public,
        "holders": [names.get(number, f"#{number}") for number in state.key.holders],
        "holds_share": _holds(member, state),
        "failure": state.key.failure,
        "blamed": [{"name": names.get(n, f"#{n}"), "reason": reason} for n, reason in state.key.blamed],
    }


def protocols(member: Member) -> list[int]:
    """The oldest and the newest version that this member speaks."""
    return [member.release.oldest, member.release.newest]


def problems(member: Member) -> list[str]:
    """What keeps this member from its work, in words."""
    found = list(member.problems.values())
    consensus = member.consensus
    if consensus is not None and consensus.failure is not None:
        found.append(str(consensus.failure))
    if consensus is not None and consensus.disk_full:
        found.append("the disk is full: nothing can be promised until there is room")
    try:
        held(member.volume.shares, member.state)
    except ShareError as error:
        found.append(str(error))
    return found


def unready(member: Member) -> str:
    """Why this member should not be sent requests; empty if it may."""
    consensus = member.consensus
    if member.release.broken:
        return f"release {member.release.name} never gets ready"
    if consensus is None:
        return "waiting to be taken into a Quorum"
    if consensus.failure is not None:
        return str(consensus.failure)
    soft = consensus.raft.soft_state()
    if member.volume.id not in soft.configuration.voters:
        return "not a voter (yet)"
    if soft.leader is None:
        return "no leader"
    if soft.leader != member.volume.id and soft.commit - member.state.index > LAG:
        return f"{soft.commit - member.state.index} entries behind"
    return ""


def _holds(member: Member, state: State) -> bool:
    try:
        return held(member.volume.shares, state) is not None
    except ShareError:
        return False
