"""Which proxies have acknowledged what was made of an object. Until all have that need it, its status says how many.

"All" is bounded: those that are connected to this control plane and have asked for a resource that the object is in.
Who comes later, and what changes later for another object's sake, takes nothing back; a status once true is so for its
generation. So one change is one write of a status, or a few where a proxy is slow, however many proxies there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from labsupport.mesh.api import Object, Reference

# Of what translation names as the source of a resource (translate/resource.py).
KINDS = frozenset((
    "HTTPRoute", "GRPCRoute", "Gateway",
    "PeerAuthentication", "AuthorizationPolicy", "TrafficPolicy", "EgressPolicy",
))  # fmt: skip
SETTLE = 0.02  # seconds after an answer: those that come together are looked at together
HOLD = 1.0  # seconds for all to answer, before a status says that they have not
AGAIN = 10.0  # seconds until it says so once more, should it be another number by then


class Progress(NamedTuple):
    """How many proxies need what was made of an object of this generation, and how many have acknowledged it."""

    generation: int
    acknowledged: int
    needing: int

    @property
    def complete(self) -> bool:
        """Whether nobody is waited for."""
        return self.acknowledged == self.needing

    @property
    def text(self) -> str:
        """For a condition's message."""
        if not self.needing:
            return "no proxy that was there needs it"
        return f"acknowledged by {self.acknowledged} of {self.needing} proxies"


def settled(conditions: Iterable[Object], generation: int) -> str:
    """What the stored condition Programmed says if it is true for this generation already; "" otherwise."""
    for each in conditions:
        if (each["type"], each["status"], each.get("observedGeneration")) == (
            "Programmed",
            "True",
            generation,
        ):
            return str(each["message"]) or "it holds"
    return ""


class Acknowledgements:
    """The objects that proxies have not all acknowledged. To be used in one event loop, but for `found.get`."""

    def __init__(self) -> None:
        self.found: dict[Reference, Progress] = {}  # as it was looked at last
        self._due: dict[Reference, float] = {}  # when their status is written even so

    def wait(self, references: Iterable[Reference], now: float) -> None:
        """These are another one now (seconds, of any clock that goes on)."""
        for each in references:
            self._due.setdefault(each, now + HOLD)

    def forget(self, reference: Reference) -> None:
        """It is gone."""
        self._due.pop(reference, None)
        self.found.pop(reference, None)

    def look(self, progress: Callable[[Reference], Progress | None], now: float) -> set[Reference]:
        """Those whose status is to be written: all have acknowledged them, or it has taken long.

        `progress`: None while it cannot be told yet.
        """
        told = set()
        for each, due in [*self._due.items()]:
            found = progress(each)
            if found is None:
                continue
            self.found[each] = found
            if found.complete:
                del self._due[each]
                told.add(each)
            elif now >= due:
                self._due[each] = now + AGAIN
                told.add(each)
        return told

    def next(self) -> float | None:
        """When somebody has to look again, whatever proxies say; None where nobody is waited for."""
        return min(self._due.values(), default=None)
