"""The first frame each way: who speaks, for which Quorum, and which versions of the protocol.

Both sides send a `Hello` at once and judge the other's; both come to the same version. The Hello itself is the one
message that never changes its form (new fields may come, unknown ones are passed over), so that a member of any release
can say why it does not talk to another.
"""

from __future__ import annotations

import msgspec

HELLO_PROTOCOL = 0  # as a frame of which protocol a Hello travels: none is agreed yet


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """What a member says of itself."""

    cluster: str  # uid of the Quorum
    member: int  # Raft id
    name: str  # of the Pod
    release: str
    oldest: int  # protocol
    newest: int  # protocol


class Goodbye(msgspec.Struct, frozen=True, tag="goodbye"):
    """The answer to a Hello that cannot be accepted, so that the other side can say why."""

    reason: str


class Refusal(Exception):
    """Why two members do not talk to each other; `ours` if it is our judgement, else the peer's."""

    def __init__(self, reason: str, *, ours: bool = True) -> None:
        super().__init__(reason)
        self.ours = ours


DECODER = msgspec.msgpack.Decoder(Hello | Goodbye)


def encode(greeting: Hello | Goodbye) -> bytes:
    """The greeting as a payload."""
    return msgspec.msgpack.encode(greeting)


def decode(payload: bytes) -> Hello:
    """The peer's Hello. Raises Refusal for a Goodbye and for what is no greeting."""
    try:
        greeting = DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise Refusal(f"the first frame is no greeting: {error}") from error
    if isinstance(greeting, Goodbye):
        raise Refusal(greeting.reason, ours=False)
    return greeting


def agree(ours: Hello, theirs: Hello, certified: str) -> int:
    """The version that both speak: the highest common one.

    `certified` is the name of the Pod in the certificate that the peer has shown. Raises Refusal if the peer is of
    another Quorum, says another name than its certificate, or has no version in common with us.
    """
    if theirs.cluster != ours.cluster:
        raise Refusal(f"{theirs.name} belongs to another Quorum ({theirs.cluster}, ours is {ours.cluster})")
    if theirs.name != certified:
        raise Refusal(f"the peer calls itself {theirs.name}, its certificate says {certified}")
    if theirs.member == ours.member:
        raise Refusal(f"{theirs.name} has the id of {ours.name}: one of the two volumes is a copy")
    version = min(ours.newest, theirs.newest)
    if version < max(ours.oldest, theirs.oldest):
        raise Refusal(
            f"{ours.name} ({ours.release}) speaks protocols {ours.oldest} to {ours.newest}, "
            f"{theirs.name} ({theirs.release}) {theirs.oldest} to {theirs.newest}: none in common"
        )
    return version
