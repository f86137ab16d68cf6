"""What the leader does: signatures, ceremonies, who is a member; and what is due without anybody asking.

Functions of the member that leads. Each may be called again: what is done already is not done twice.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from labsupport.quorum import commands, signing
from labsupport.quorum.ceremonies import public_side
from labsupport.quorum.ceremony import ROUND
from labsupport.quorum.consensus import Consensus
from labsupport.quorum.keys import dkg, reshare
from labsupport.quorum.keys.frost import PublicKeyPackage
from labsupport.quorum.raft.records import Configuration, Refused
from labsupport.quorum.releases import DIGESTS_FROM

if TYPE_CHECKING:
    from labsupport.quorum.member import Founder, Member

ANSWER = 5.0  # seconds for a command to be confirmed, or a peer to answer


class Digest(msgspec.Struct, frozen=True):
    """The leader's state at an index (protocol 2)."""

    index: int
    digest: bytes


async def sign(here: Member, request: str, message: bytes) -> commands.Result:
    """Have the members sign, as the leader. Raises NotLeader, Unknown, signing.NotEnough."""
    consensus = here.require()
    asked = await consensus.propose(commands.RequestSignature(request, message), ANSWER)
    if not isinstance(asked, commands.Done) or here.state.signatures[request].state == "signed":
        return asked
    numbers = {record.number: member for member, record in here.state.members.items()}
    connected = here.transport.connections()

    def near(number: int) -> tuple[bool, int]:
        member = numbers.get(number, 0)
        return member != here.volume.id and not (member in connected and connected[member].connected), number

    honest = sorted(set(here.state.key.holders) - {number for number, _ in here.state.key.blamed}, key=near)
    holders = [_asked(here, number, numbers[number]) for number in honest if number in numbers]
    finished = await signing.bring_about(request, here.state, holders)
    return await consensus.propose(finished, ANSWER)


async def hold_ceremony(
    here: Member, ceremony: str, threshold: int, holders: tuple[int, ...]
) -> commands.Result:
    """Make the key, or hand it on to these members, as the leader. Raises NotLeader, Refused, Unknown."""
    consensus, state = here.require(), here.state
    missing = [member for member in holders if member not in state.members]
    if missing:
        raise Refused(f"no members: {', '.join(f'{member:x}' for member in missing)}")
    receivers = [public_side(state.members[member]) for member in holders]
    try:
        if not state.key.epoch:
            plan = dkg.plan(receivers, threshold)
        else:
            public = PublicKeyPackage.from_bytes(state.key.public)
            able = {record.number: record for m, record in state.members.items() if here.reaches(m)}
            dealers = [public_side(able[number]) for number in state.key.holders if number in able]
            plan = reshare.plan(public, dealers, receivers, threshold)
    except ValueError as error:
        raise Refused(str(error)) from error
    return await consensus.propose(commands.StartCeremony(ceremony, plan.to_bytes()), ANSWER)


async def admit(here: Member, founder: Founder) -> str:
    """Take a member in, as the leader: it learns first and votes when it has caught up; where it stands now.

    Raises NotLeader, Refused (while another change is under way), Unknown.
    """
    consensus = here.require()
    answer = await consensus.propose(commands.Admit(founder.id, founder.name, founder.identity), ANSWER)
    if not isinstance(answer, commands.Done):
        raise Refused(getattr(answer, "reason", str(answer)))
    configuration = consensus.configuration
    if founder.id not in configuration.members:
        await consensus.change(Configuration(configuration.voters, configuration.learners | {founder.id}))
    return "voter" if founder.id in configuration.voters else "learner"


async def dismiss(here: Member, member: int) -> str:
    """Let a member go, as the leader. Raises NotLeader, Refused, Unknown."""
    consensus = here.require()
    if member == here.volume.id:
        raise Refused("the leader does not dismiss itself: hand leadership over first")
    configuration = consensus.configuration
    if member in configuration.members:
        await consensus.change(
            Configuration(configuration.voters - {member}, configuration.learners - {member})
        )
        return "leaving"
    await consensus.propose(commands.Dismiss(member), ANSWER)
    return "gone"


def _asked(here: Member, number: int, member: int) -> signing.Asked:
    async def call(asked: signing.Commit | signing.SignShare) -> Any:
        return await here.call(member, asked, ANSWER)

    return signing.Asked(number, call)


class Duties:
    """What the leader looks after: rounds that are late, learners that have caught up, members that differ."""

    def __init__(self) -> None:
        self._round: tuple[bytes, int, float] = (
            b"",
            0,
            0.0,
        )  # of a ceremony: session, round, since when it is open

    async def do(self, here: Member) -> None:
        """What is due now. Raises NotLeader, Refused, Unknown."""
        consensus = here.require()
        await self._close_late_round(here, consensus)
        configuration, peers = consensus.configuration, consensus.raft.peers()
        for learner in sorted(configuration.learners):
            if learner in peers and peers[learner].caught_up:
                voters = configuration.voters | {learner}
                await consensus.change(Configuration(voters, configuration.learners - {learner}))
                break
        if here.state.protocol >= DIGESTS_FROM and here.state.index in consensus.digests:
            for member, connection in here.transport.connections().items():
                if connection.connected and connection.agreed >= DIGESTS_FROM:
                    here.transport.send(member, Digest(here.state.index, here.state.digest))

    async def _close_late_round(self, here: Member, consensus: Consensus) -> None:
        running, now = here.state.ceremony, time.monotonic()
        if running is None:
            return
        session, number, since = self._round
        if (session, number) != (running.session, running.round):
            self._round = running.session, running.round, now
        elif now - since > ROUND:
            await consensus.propose(commands.CloseRound(session, number), ANSWER)
