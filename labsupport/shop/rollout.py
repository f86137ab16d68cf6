"""A canary's way from 1 % to 100 % of the requests, led by a function of counts. Without I/O: how weights are set and
requests are sent is the caller's.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

BEGIN, WHOLE, STOPPED = 1, 100, 0  # percent of requests that the canary gets
LOOKS = 60  # at most so often the function is asked
PROMOTED, WITHDRAWN, UNDECIDED, UNUSABLE = "promoted", "withdrawn", "undecided", "unusable"


class Counts(NamedTuple):
    """Requests that a version had, and how many of them failed, since its share was changed last."""

    requests: int
    errors: int

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(self.requests + other.requests, self.errors + other.errors)


NONE = Counts(0, 0)
Decide = Callable[
    [int, Counts, Counts], Any
]  # the canary's percent, stable's and canary's counts -> next percent
Send = Callable[
    [int], tuple[Counts, Counts]
]  # so many percent go to the canary: what came of it, stable and canary


@dataclass(frozen=True)
class Look:
    """One time that the function was asked, and what it said."""

    weight: int
    stable: Counts
    canary: Counts
    said: Any

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"stable": list(self.stable), "canary": list(self.canary)}


@dataclass(frozen=True)
class Rollout:
    """All looks, and how it ended: PROMOTED, WITHDRAWN, UNDECIDED after LOOKS, or UNUSABLE with `why`."""

    looks: tuple[Look, ...]
    ended: str
    why: str = ""

    @property
    def harmed(self) -> int:
        """Requests that failed at the canary."""
        last = [
            each
            for each, following in zip(self.looks, [*self.looks[1:], None], strict=True)
            if following is None or following.weight != each.weight  # counts go on while the weight stays
        ]
        return sum(each.canary.errors for each in last)

    @property
    def highest(self) -> int:
        """The largest share that the canary had, in percent."""
        return max((each.weight for each in self.looks), default=0)


def roll_out(decide: Decide, send: Send, told: Callable[[Look], None] = lambda look: None) -> Rollout:
    """Ask `decide` after each batch of requests that `send` sends, and do what it says.

    It may say the same percent again (look longer), a larger one, or 0 (withdraw). Counts begin anew when the percent
    changes. At 100 it is promoted once it was asked and did not withdraw.
    """
    weight, stable, canary = BEGIN, NONE, NONE
    looks: list[Look] = []
    for _ in range(LOOKS):
        had = send(weight)
        stable, canary = stable.plus(had[0]), canary.plus(had[1])
        said = decide(weight, stable, canary)
        looks.append(Look(weight, stable, canary, said))
        told(looks[-1])
        if (
            isinstance(said, bool)
            or not isinstance(said, int)
            or not (said == STOPPED or weight <= said <= WHOLE)
        ):
            why = f"it said {said!r} at {weight} %: wanted are 0, or a whole number from {weight} to {WHOLE}"
            return Rollout(tuple(looks), UNUSABLE, why)
        if said == STOPPED:
            return Rollout(tuple(looks), WITHDRAWN)
        if weight == WHOLE:
            return Rollout(tuple(looks), PROMOTED)
        if said != weight:
            weight, stable, canary = said, NONE, NONE
    return Rollout(tuple(looks), UNDECIDED)


def simulated(stable_rate: float, canary_rate: float, batch: int, draw: random.Random) -> Send:
    """Requests that are drawn: each goes to the canary with its share, and fails with its version's rate."""

    def send(weight: int) -> tuple[Counts, Counts]:
        to_canary = drawn(batch, weight / 100, draw)
        to_stable = batch - to_canary
        stable, canary = drawn(to_stable, stable_rate, draw), drawn(to_canary, canary_rate, draw)
        return Counts(to_stable, stable), Counts(to_canary, canary)

    return send


def drawn(total: int, share: float, draw: random.Random) -> int:
    """How many of `total` succeed, each with the probability `share`: from one success to the next (geometric)."""
    if share > 0.5:
        return total - drawn(total, 1 - share, draw)
    if share <= 0:
        return 0
    count, at, scale = 0, 0, math.log1p(-share)
    while (at := at + int(math.log(1.0 - draw.random()) / scale) + 1) <= total:
        count += 1
    return count
