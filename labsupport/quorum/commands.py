"""What can be written into the log: commands to the replicated state, and what applying one answers.

Each is encoded as a tagged MessagePack map. A member that meets a command it does not know stops: to pass it over would
make its state another one (the protocol's version, which is in the log itself, keeps that from happening).
"""

from __future__ import annotations

import hashlib

import msgspec


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Who writes, and the number of this write: a write that comes again with the same number is not done again."""

    client: str
    sequence: int


class Put(msgspec.Struct, frozen=True, tag="put", omit_defaults=True):
    """Write a value; if `expected` is not None only if the key has that revision (0: only if it does not exist)."""

    key: str
    value: bytes
    expected: int | None = None
    session: Session | None = None


class Delete(msgspec.Struct, frozen=True, tag="delete", omit_defaults=True):
    """Remove a key."""

    key: str
    session: Session | None = None


class Admit(msgspec.Struct, frozen=True, tag="admit"):
    """A member's name and identity key (Ed25519, 32 bytes), before it joins."""

    member: int
    name: str
    identity: bytes


class Dismiss(msgspec.Struct, frozen=True, tag="dismiss"):
    """Forget a member that has been removed."""

    member: int


class SetProtocol(msgspec.Struct, frozen=True, tag="protocol"):
    """From here on members may use this version of the protocol. It is never lowered."""

    version: int


class Restore(msgspec.Struct, frozen=True, tag="restore"):
    """Take over keys and values of a back-up; only into a store to which nobody has written."""

    backup: str
    entries: dict[str, tuple[bytes, int]]
    revision: int


class StartCeremony(msgspec.Struct, frozen=True, tag="start-ceremony"):
    """Begin to make the key, or to hand it on. A `ceremony` that has succeeded or is under way is not begun again."""

    ceremony: str
    plan: bytes  # keys.deal.Plan, with a nonce of its own for each attempt


class Broadcast(msgspec.Struct, frozen=True, tag="broadcast"):
    """What a member says to all in a round of the ceremony that is under way."""

    session: bytes  # keys.deal.Plan.session
    number: int  # the member's identifier among the key's holders
    round: int
    body: bytes


class CloseRound(msgspec.Struct, frozen=True, tag="close-round"):
    """Whoever has not spoken in this round by now is silent."""

    session: bytes
    round: int


class Report(msgspec.Struct, frozen=True, tag="report", omit_defaults=True):
    """What came of a ceremony, says one who took part; its share is on its disk by now.

    `public` is keys.frost.PublicKeyPackage, empty if no key came about: then `failure` says why.
    """

    session: bytes
    number: int
    transcript: bytes
    public: bytes = b""
    holds: bool = False
    failure: str = ""
    blamed: tuple[tuple[int, str], ...] = ()  # numbers, and what for; it counts only if enough say the same


class RequestSignature(msgspec.Struct, frozen=True, tag="request-signature"):
    """Members may sign this message. The same `request` again is the same request."""

    request: str
    message: bytes


class FinishSignature(msgspec.Struct, frozen=True, tag="finish-signature", omit_defaults=True):
    """The signature that came about, or none; `evidence` is keys.blame.WrongPartialSignature of who signed wrongly."""

    request: str
    signature: bytes
    signers: tuple[int, ...] = ()
    evidence: tuple[bytes, ...] = ()


Command = (
    Put
    | Delete
    | Admit
    | Dismiss
    | SetProtocol
    | Restore
    | StartCeremony
    | Broadcast
    | CloseRound
    | Report
    | RequestSignature
    | FinishSignature
)


class Done(msgspec.Struct, frozen=True, tag="done"):
    """It was applied; `revision` is the key's now (of a Put), else the store's."""

    revision: int


class Conflict(msgspec.Struct, frozen=True, tag="conflict"):
    """A Put with another revision than the key's; `revision` is the key's (0: it does not exist)."""

    revision: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """It was not applied, and never will be as it is."""

    reason: str


Result = Done | Conflict | Refused

COMMANDS = msgspec.msgpack.Decoder(Command)
RESULTS = msgspec.msgpack.Decoder(Result)


def digest_name(message: bytes) -> str:
    """The name of a request to sign that has none: the same message is then the same request."""
    return hashlib.sha256(message).hexdigest()


def encode(message: Command | Result) -> bytes:
    """A command or a result as bytes."""
    return msgspec.msgpack.encode(message)
