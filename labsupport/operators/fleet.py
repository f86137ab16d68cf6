"""What the functions of lab O5 get and return: a fleet of members as an upgrade sees it, and the steps that there are.

Made of what the Quorum operator observes (quorum_operator/observed.py), cut down to what an order and a gate need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Member:
    """One member. `release`: of which its Pod is, "" while it has none, since it is being made anew.

    `leads`: whether it leads with a majority behind it. `trouble`: why it is not well, "" if it is.
    """

    name: str
    release: str
    leads: bool = False
    trouble: str = ""

    def __str__(self) -> str:
        """In words."""
        words = [self.name, self.release or "without a Pod", *(["leads"] if self.leads else [])]
        return " ".join(words) + (f" ({self.trouble})" if self.trouble else "")


@dataclass(frozen=True)
class Change:
    """Make the Pod of the member `name` anew, of the release that is wanted."""

    name: str


@dataclass(frozen=True)
class HandOver:
    """Leadership goes to the member `name`."""

    name: str


@dataclass(frozen=True)
class Wait:
    """Nothing now: something must happen by itself first."""


@dataclass(frozen=True)
class Done:
    """The upgrade is over."""


Step = Change | HandOver | Wait | Done


@dataclass(frozen=True)
class Look:
    """What one look at a member showed after its Pod was made anew.

    age: seconds since its Pod was made. ready: its readiness probe. id: its Raft id, "" if it does not answer.
    was: the id that it had before. heard: whether the leader reaches it. caught_up: whether it has all that is in
    the leader's log. speaks: the lowest and highest protocol that it speaks. protocol: what the Quorum speaks.
    holder: whether it had a share of the key before. has_share: whether it says that it has one.
    """

    age: float
    ready: bool
    id: str
    was: str
    heard: bool
    caught_up: bool
    speaks: tuple[int, int]
    protocol: int
    holder: bool
    has_share: bool


Answer = Literal["on", "wait", "back"]
ANSWERS: tuple[Answer, ...] = ("on", "wait", "back")  # go on with the next, look again, take it back
