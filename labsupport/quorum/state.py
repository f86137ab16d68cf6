"""What all members agree on, as values: keys and values, members, the key that they hold together, signatures."""

from __future__ import annotations

from typing import Literal

import msgspec

from labsupport.quorum.commands import Report, Result

KeyState = Literal["none", "running", "ready", "failed"]
SignatureState = Literal["requested", "signed", "failed"]


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A value, and the store's revision when it was written."""

    value: bytes
    revision: int


class LastWrite(msgspec.Struct, frozen=True, array_like=True):
    """A client's latest write: its number, what it was answered, and when (log index)."""

    sequence: int
    result: Result
    index: int


class MemberRecord(msgspec.Struct, frozen=True):
    """A member: its Pod's name, the public side of its identity, and its number among the key's holders.

    Numbers (1 to 255) are given once and never again: two shares of one number would be one share.
    """

    name: str
    identity: bytes  # of keys.identity.Member the verifying key and the sealing key, 64 bytes
    number: int


class CeremonyState(msgspec.Struct, frozen=True):
    """A ceremony under way. `said` is by round, then by number: at most two different things each."""

    ceremony: str
    plan: bytes
    session: bytes
    begun: int  # log index
    members: tuple[int, ...]  # numbers of those who take part
    rounds: int
    round: int = 1  # that is open; `rounds` + 1: reports are awaited
    said: dict[int, dict[int, tuple[bytes, ...]]] = {}
    closed: tuple[int, ...] = ()  # rounds that were closed before all had spoken
    reports: dict[int, Report] = {}  # by number


class Key(msgspec.Struct, frozen=True):
    """The key that members hold together; `blamed` are all who ever were caught, by number, with what they did."""

    state: KeyState = "none"
    ceremony: str = ""  # the last that succeeded
    epoch: int = 0
    threshold: int = 0
    public: bytes = b""  # keys.frost.PublicKeyPackage
    holders: tuple[int, ...] = ()  # numbers
    failure: str = ""
    blamed: tuple[tuple[int, str], ...] = ()


class Signature(msgspec.Struct, frozen=True):
    """A request to sign, and what came of it."""

    message: bytes
    state: SignatureState
    index: int  # of the request, in the log
    signature: bytes = b""
    signers: tuple[int, ...] = ()


class State(msgspec.Struct):
    """Everything. Two members that have applied the same log have equal states, and equal digests."""

    index: int = 0  # of the last entry applied
    digest: bytes = b""  # over all entries and results, chained
    revision: int = 0
    size: int = 0  # bytes of keys and values
    restored: str = ""  # the back-up that this store began with
    values: dict[str, Value] = {}
    sessions: dict[str, LastWrite] = {}
    members: dict[int, MemberRecord] = {}  # by Raft id
    numbers: int = 0  # given so far
    protocol: int = 1
    ceremony: CeremonyState | None = None
    key: Key = Key()
    signatures: dict[str, Signature] = {}


DECODER = msgspec.msgpack.Decoder(State)


def encode(state: State) -> bytes:
    """The state as bytes: a snapshot's data. Equal states give equal bytes."""
    return msgspec.msgpack.encode(
        state
    )  # dicts in the order of what was applied, which is the same everywhere


def decode(data: bytes) -> State:
    """The opposite. Raises msgspec.MsgspecError."""
    return DECODER.decode(data)
