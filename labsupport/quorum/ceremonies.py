"""A ceremony as the log sees it: who has spoken in which round, and what came of it. Pure functions of the state.

The log is the channel on which members say the same to all; what they say is the business of `keys`. A round is over
when all who take part have spoken, or when the leader has waited long enough and had it closed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import msgspec
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from labsupport.quorum import commands
from labsupport.quorum.keys import dkg
from labsupport.quorum.keys.blame import WrongPartialSignature
from labsupport.quorum.keys.deal import Plan
from labsupport.quorum.keys.frost import PublicKeyPackage
from labsupport.quorum.keys.group import SIZE, Point
from labsupport.quorum.keys.identity import Member
from labsupport.quorum.keys.wire import InvalidMessage
from labsupport.quorum.state import CeremonyState, Key, MemberRecord, State


def open_ceremony(now: State, command: commands.StartCeremony) -> CeremonyState | str:
    """The ceremony that the command begins, or why it cannot begin."""
    try:
        plan = Plan.from_bytes(command.plan)
    except (InvalidMessage, ValueError) as error:
        return f"this is no plan of a ceremony: {error}"
    known = {record.number: record for record in now.members.values()}
    for member in plan.members:
        record = known.get(member.identifier)
        if record is None or public_side(record) != member:
            return f"the plan has a member {member.identifier} that this Quorum does not have"
    if (plan.previous is not None) != bool(now.key.epoch):
        return "the key is made once; after that it is handed on"
    if plan.previous is not None and plan.previous.to_bytes() != now.key.public:
        return "the plan hands on another key"
    return CeremonyState(
        command.ceremony,
        command.plan,
        plan.session,
        now.index,
        tuple(member.identifier for member in plan.members),
        dkg.rounds(plan),
    )


def public_side(record: MemberRecord) -> Member:
    """A member as ceremonies know it. Raises InvalidEncoding if its identity is none."""
    return Member(record.number, record.identity[:SIZE], Point.decode(record.identity[SIZE:]))


def close_if_all_spoke(running: CeremonyState) -> CeremonyState:
    """The next round, if nobody has still to speak in this one."""
    if set(running.said.get(running.round, {})) != set(running.members):
        return running
    return msgspec.structs.replace(running, round=running.round + 1)


def conclude(running: CeremonyState, before: Key, *, final: bool) -> Key | None:
    """The key after the ceremony, or None while reports are missing that could come.

    It succeeds when a threshold of those that report the same hold a share; `final`: no more are awaited. Who is named
    by most of the reports that are alike is blamed: one member alone can blame nobody.
    """
    if not final and set(running.reports) != set(running.members):
        return None
    alike = Counter(_outcome(report) for report in running.reports.values())
    if not alike:
        return _failed(before, "nobody reported what came of the ceremony")
    outcome, count = alike.most_common(1)[0]
    agreeing = [report for report in running.reports.values() if _outcome(report) == outcome]
    first = agreeing[0]
    blamed = before.blamed
    if count * 2 > len(running.members):
        blamed = tuple(sorted({*before.blamed, *first.blamed}))
    if not first.public:
        return _failed(msgspec.structs.replace(before, blamed=blamed), first.failure)
    public = PublicKeyPackage.from_bytes(first.public)
    holders = tuple(sorted(report.number for report in agreeing if report.holds))
    if len(holders) < public.threshold:
        return _failed(before, f"{len(holders)} members kept their share, {public.threshold} are needed")
    return Key("ready", running.ceremony, public.epoch, public.threshold, first.public, holders, "", blamed)


def verifies(key: Key, message: bytes, signature: bytes) -> bool:
    """Whether this is the key's signature of the message (RFC 8032)."""
    try:
        VerifyKey(PublicKeyPackage.from_bytes(key.public).verifying_key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def blame_signers(key: Key, members: Iterable[MemberRecord], evidence: Iterable[bytes]) -> Key:
    """The key with those blamed whose wrong partial signatures are proven; what proves nothing is passed over."""
    public = PublicKeyPackage.from_bytes(key.public)
    records = {record.number: record for record in members}
    proven = set()
    for each in evidence:
        with suppress(InvalidMessage):
            accusation = WrongPartialSignature.from_bytes(each)
            record = records.get(accusation.culprit)
            if record is not None and accusation.proven(public_side(record), public):
                proven.add((accusation.culprit, "WrongPartialSignature"))
    return msgspec.structs.replace(key, blamed=tuple(sorted({*key.blamed, *proven})))


def _outcome(report: commands.Report) -> tuple[object, ...]:
    return report.transcript, report.public, report.blamed


def _failed(before: Key, failure: str) -> Key:
    """The key as it was; a first one that did not come about has failed."""
    return msgspec.structs.replace(before, state="ready" if before.epoch else "failed", failure=failure)
