"""Messages as bytes: each kind has a name and a type, and what is not of that type is refused.

A message is one-way, or a call (`call` is a number of the caller's), or the answer to one (`answers` is that number).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from labsupport.quorum.wire.frames import BrokenFrame


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """What travels: the name of the kind, and the message as its type is encoded."""

    kind: str
    body: msgspec.Raw
    call: int = 0
    answers: int = 0


class Failure(msgspec.Struct, frozen=True):
    """The answer to a call that could not be served."""

    reason: str


class Codec:
    """Names of kinds to types, both ways. `kinds` must name each type once."""

    def __init__(self, kinds: Mapping[str, type]) -> None:
        everything = {"failure": Failure, **kinds}
        self._names = {kind: name for name, kind in everything.items()}
        if len(self._names) != len(everything):
            raise ValueError("a type has two names")
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {
            name: msgspec.msgpack.Decoder(kind) for name, kind in everything.items()
        }
        self._envelope = msgspec.msgpack.Decoder(Envelope)

    def encode(self, message: Any, *, call: int = 0, answers: int = 0) -> bytes:
        """A message of a known type as bytes. Raises KeyError for another type."""
        body = msgspec.Raw(msgspec.msgpack.encode(message))
        return msgspec.msgpack.encode(Envelope(self._names[type(message)], body, call, answers))

    def decode(self, payload: bytes) -> tuple[Envelope, Any]:
        """The envelope and its message. Raises BrokenFrame for an unknown kind and for what is not of its type."""
        try:
            envelope = self._envelope.decode(payload)
            decoder = self._decoders.get(envelope.kind)
            if decoder is None:
                raise BrokenFrame(f"a message of the unknown kind {envelope.kind!r}")
            return envelope, decoder.decode(envelope.body)
        except msgspec.MsgspecError as error:
            raise BrokenFrame(f"a message that is none: {error}") from error
