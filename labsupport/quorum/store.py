"""The replicated state machine: how each command changes the state. Pure but for the state that it holds.

Every member applies the same log, so nothing here may depend on anything but the state and the command: no clock, no
randomness, no order of sets. What a member does about a change (take part in a ceremony, sign) is elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from labsupport.quorum import commands, state
from labsupport.quorum.ceremonies import (
    blame_signers,
    close_if_all_spoke,
    conclude,
    open_ceremony,
    verifies,
)
from labsupport.quorum.commands import Conflict, Done, Refused, Result
from labsupport.quorum.state import LastWrite, MemberRecord, Signature, State, Value

KEY_LIMIT = 1 << 10  # bytes
VALUE_LIMIT = 64 << 10  # bytes
STORE_LIMIT = 16 << 20  # bytes of all keys and values together
MESSAGE_LIMIT = 32 << 10  # bytes of a message to sign
SESSIONS = 10_000  # clients that are remembered; whoever has not written for longest is forgotten
SIGNATURES = 1_000  # requests that are remembered
NUMBERS = 255  # members that a Quorum can have in its life
NEWEST_PROTOCOL = 3


class Store:
    """The state of one member, as far as it has applied the log."""

    def __init__(self, snapshot: bytes = b"") -> None:
        self.state = state.decode(snapshot) if snapshot else State()

    def snapshot(self) -> bytes:
        """The whole state as bytes."""
        return state.encode(self.state)

    def apply(self, index: int, data: bytes) -> Result:
        """Apply the command in `data`, which is the log's entry at `index`; its result.

        Raises msgspec.MsgspecError for a command that this release does not know: the member must stop.
        """
        command = commands.COMMANDS.decode(data)
        session = command.session if isinstance(command, commands.Put | commands.Delete) else None
        known = self.state.sessions.get(session.client) if session else None
        if known and session and session.sequence <= known.sequence:
            again = session.sequence == known.sequence
            result = known.result if again else Refused("a later write of this client was done before")
        else:
            self.state.index = index
            result = HANDLERS[type(command)](self.state, command)
            if session:
                self._remember(session.client, LastWrite(session.sequence, result, index))
        self.pass_over(index, data, commands.encode(result))
        return result

    def pass_over(self, index: int, data: bytes = b"", result: bytes = b"") -> None:
        """Note that the entry at `index` is applied: one that is no command changes nothing else."""
        self.state.index = index
        chained = b"".join((self.state.digest, index.to_bytes(8, "big"), data, result))
        self.state.digest = hashlib.blake2b(chained, digest_size=16).digest()

    def _remember(self, client: str, write: LastWrite) -> None:
        sessions = self.state.sessions
        sessions.pop(client, None)
        sessions[client] = write  # dicts keep their order: the first is the one that is silent for longest
        if len(sessions) > SESSIONS:
            del sessions[next(iter(sessions))]


def _put(now: State, command: commands.Put) -> Result:
    size = len(command.key.encode())
    if not 0 < size <= KEY_LIMIT:
        return Refused(f"a key has 1 to {KEY_LIMIT} bytes, this one has {size}")
    if len(command.value) > VALUE_LIMIT:
        return Refused(f"a value has at most {VALUE_LIMIT} bytes, this one has {len(command.value)}")
    before = now.values.get(command.key)
    if command.expected is not None and command.expected != (before.revision if before else 0):
        return Conflict(before.revision if before else 0)
    grows = len(command.value) - len(before.value) if before else size + len(command.value)
    if now.size + grows > STORE_LIMIT:
        return Refused(f"the store is full: {now.size} of {STORE_LIMIT} bytes; delete something")
    now.size += grows
    now.revision += 1
    now.values[command.key] = Value(command.value, now.revision)
    return Done(now.revision)


def _delete(now: State, command: commands.Delete) -> Result:
    before = now.values.pop(command.key, None)
    if before is not None:
        now.size -= len(command.key.encode()) + len(before.value)
        now.revision += 1
    return Done(now.revision)


def _admit(now: State, command: commands.Admit) -> Result:
    known = now.members.get(command.member)
    if known is not None:
        same = (known.name, known.identity) == (command.name, command.identity)
        return Done(now.revision) if same else Refused(f"member {command.member:x} is {known.name}, another")
    if now.numbers >= NUMBERS:
        return Refused(f"this Quorum has had {NUMBERS} members; make a new one from a back-up")
    now.numbers += 1
    now.members[command.member] = MemberRecord(command.name, command.identity, now.numbers)
    return Done(now.revision)


def _dismiss(now: State, command: commands.Dismiss) -> Result:
    record = now.members.pop(command.member, None)
    if record is not None:  # what it did is nobody's fault who is still here
        blamed = tuple(each for each in now.key.blamed if each[0] != record.number)
        now.key = msgspec.structs.replace(now.key, blamed=blamed)
    return Done(now.revision)


def _protocol(now: State, command: commands.SetProtocol) -> Result:
    if command.version < now.protocol:
        return Refused(f"the protocol is never lowered; it is {now.protocol}")
    if command.version > NEWEST_PROTOCOL:
        return Refused(f"protocol {command.version} is unknown here")
    now.protocol = command.version
    return Done(now.revision)


def _restore(now: State, command: commands.Restore) -> Result:
    if command.backup == now.restored:
        return Done(now.revision)
    if now.revision:
        return Refused("there are values in this store already; a back-up goes into a new one only")
    size = sum(len(key.encode()) + len(value) for key, (value, _) in command.entries.items())
    if size > STORE_LIMIT:
        return Refused(f"the back-up has {size} bytes, a store holds {STORE_LIMIT}")
    now.restored, now.size, now.revision = command.backup, size, command.revision
    now.values = {key: Value(value, at) for key, (value, at) in command.entries.items()}
    return Done(now.revision)


def _start_ceremony(now: State, command: commands.StartCeremony) -> Result:
    if command.ceremony in (now.key.ceremony, now.ceremony.ceremony if now.ceremony else ""):
        return Done(now.revision)
    if now.ceremony is not None:
        return Refused(f"the ceremony {now.ceremony.ceremony} is under way")
    opened = open_ceremony(now, command)
    if isinstance(opened, str):
        return Refused(opened)
    now.ceremony = opened
    now.key = msgspec.structs.replace(
        now.key, state="running" if not now.key.epoch else now.key.state, failure=""
    )
    return Done(now.revision)


def _broadcast(now: State, command: commands.Broadcast) -> Result:
    running = now.ceremony
    if running is None or (running.session, running.round) != (command.session, command.round):
        return Refused("this round is over")
    if command.number not in running.members or running.round > running.rounds:
        return Refused(f"member {command.number} has nothing to say in it")
    spoken = running.said.get(running.round, {})
    before = spoken.get(command.number, ())
    if command.body not in before and len(before) < 2:
        round_now = {**spoken, command.number: (*before, command.body)}
        running = msgspec.structs.replace(running, said={**running.said, running.round: round_now})
    now.ceremony = close_if_all_spoke(running)
    return Done(now.revision)


def _close_round(now: State, command: commands.CloseRound) -> Result:
    running = now.ceremony
    if running is None or (running.session, running.round) != (command.session, command.round):
        return Refused("this round is over")
    if running.round <= running.rounds:
        now.ceremony = msgspec.structs.replace(
            running, round=running.round + 1, closed=(*running.closed, running.round)
        )
    else:
        now.ceremony, now.key = None, conclude(running, now.key, final=True) or now.key
    return Done(now.revision)


def _report(now: State, command: commands.Report) -> Result:
    running = now.ceremony
    if running is None or running.session != command.session or command.number not in running.members:
        return Refused("this ceremony is over")
    reports = {**running.reports, command.number: running.reports.get(command.number, command)}
    running = now.ceremony = msgspec.structs.replace(running, reports=reports)
    concluded = conclude(running, now.key, final=False)
    if concluded is not None:
        now.ceremony, now.key = None, concluded
    return Done(now.revision)


def _request_signature(now: State, command: commands.RequestSignature) -> Result:
    known = now.signatures.get(command.request)
    if known is not None:
        return (
            Done(now.revision)
            if known.message == command.message
            else Refused("another message has this name")
        )
    if len(command.message) > MESSAGE_LIMIT:
        return Refused(f"a message has at most {MESSAGE_LIMIT} bytes, this one has {len(command.message)}")
    if not now.key.epoch:
        return Refused("there is no key yet")
    now.signatures[command.request] = Signature(command.message, "requested", now.index)
    if len(now.signatures) > SIGNATURES:
        del now.signatures[next(iter(now.signatures))]
    return Done(now.revision)


def _finish_signature(now: State, command: commands.FinishSignature) -> Result:
    known = now.signatures.get(command.request)
    if known is None or known.state == "signed":
        return Done(now.revision)
    if command.signature and not verifies(now.key, known.message, command.signature):
        return Refused("this is no signature of the message by the key")
    outcome: state.SignatureState = "signed" if command.signature else "failed"
    now.signatures[command.request] = msgspec.structs.replace(
        known, state=outcome, signature=command.signature, signers=command.signers
    )
    now.key = blame_signers(now.key, now.members.values(), command.evidence)
    return Done(now.revision)


HANDLERS: dict[type, Callable[[State, Any], Result]] = {
    commands.Put: _put,
    commands.Delete: _delete,
    commands.Admit: _admit,
    commands.Dismiss: _dismiss,
    commands.SetProtocol: _protocol,
    commands.Restore: _restore,
    commands.StartCeremony: _start_ceremony,
    commands.Broadcast: _broadcast,
    commands.CloseRound: _close_round,
    commands.Report: _report,
    commands.RequestSignature: _request_signature,
    commands.FinishSignature: _finish_signature,
}
