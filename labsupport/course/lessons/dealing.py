"""Shares that dealers have sent to one member of a key's ceremony, honest ones and others, for lab O4.

A dealer has a polynomial with as many coefficients as the threshold says. It shows each coefficient times the generator
to all (Feldman's commitment), and sends the polynomial's value at a member's number to that member: its share.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from labsupport.course.lessons.shepherding import Finding
from labsupport.quorum.keys.group import IDENTITY, ONE, ORDER, ZERO, Point, Scalar
from labsupport.quorum.keys.polynomial import Polynomial

PARTS = 3  # of what the learner's function returns


@dataclass(frozen=True)
class Dealt:
    """What one dealer has sent: its commitment, to all, and the share that is this member's."""

    commitment: tuple[Point, ...]
    share: Scalar


# How a dealer may deal, and the finding for whoever counts it in.
HONEST = "honest"
WAYS = {
    HONEST: "",
    "wrong share": "wrong-share",
    "share of another member": "wrong-share",
    "wrong commitment": "wrong-share",
    "more than the threshold": "length",
    "less than the threshold": "length",
    "silent": "silent",
}
CHEATS = [each for each in WAYS if each != HONEST]


def _polynomial(chance: random.Random, size: int) -> Polynomial:
    return Polynomial(tuple(Scalar.of(chance.randrange(1, ORDER)) for _ in range(size)))


def deal(chance: random.Random, threshold: int, me: int, way: str) -> Dealt | None:
    """What a dealer sends to the member `me`; None if it sends nothing."""
    sizes = {"more than the threshold": threshold + 1, "less than the threshold": threshold - 1}
    made = _polynomial(chance, sizes.get(way, threshold))
    commitment, share = made.commitment(), made.at(me)
    if way == "silent":
        return None
    if way == "wrong share":
        share = share + ONE
    if way == "share of another member":
        share = made.at(me + 1)
    if way == "wrong commitment":
        other = _polynomial(chance, threshold).commitment()
        commitment = (*commitment[:-1], other[-1])
    return Dealt(commitment, share)


@dataclass(frozen=True)
class Received:
    """All that reached a member, and how each dealer has dealt."""

    me: int
    threshold: int
    dealt: dict[int, Dealt | None]
    ways: dict[int, str]

    @property
    def right(self) -> list[Dealt]:
        """What the honest dealers sent."""
        return [each for dealer, each in self.dealt.items() if each and self.ways[dealer] == HONEST]


def received(seed: int) -> Received:
    """What reached a member, by a seed. Each way to cheat comes up within len(CHEATS) seeds in a row."""
    chance = random.Random(seed)
    members = chance.choice((3, 5, 7))
    threshold = chance.randint(2, members // 2 + 1)
    dealers = list(range(1, members + 1))
    me = chance.choice(dealers)
    others = [each for each in dealers if each != me]
    cheats = chance.sample(others, chance.randint(1, max(1, threshold - 1)))
    ways = dict.fromkeys(dealers, HONEST) | {each: chance.choice(CHEATS) for each in cheats}
    ways[cheats[0]] = CHEATS[seed % len(CHEATS)]
    chance.shuffle(dealers)
    return Received(me, threshold, {d: deal(chance, threshold, me, ways[d]) for d in dealers}, ways)


def run_received(receive: Callable[..., Any], seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong with a function that judges deals and adds up shares, or None."""
    for seed in seeds:
        if wrong := _judge(receive, received(seed)):
            return wrong
    return None


def _judge(receive: Callable[..., Any], given: Received) -> Finding | None:
    about = f"Member {given.me} of {len(given.dealt)}, threshold {given.threshold}."
    answer = receive(given.me, given.threshold, dict(given.dealt))
    if not isinstance(answer, tuple | list) or len(answer) != PARTS:
        return Finding("no-answer", f"{about} `receive` returned {answer!r}, and not three values.")
    wrong, share, public = answer
    if not isinstance(wrong, Collection) or isinstance(wrong, str) or not isinstance(share, Scalar):
        return Finding("no-answer", f"{about} `receive` returned {answer!r}.")
    named = set(wrong)
    for dealer, way in sorted(given.ways.items()):
        if way == HONEST and dealer in named:
            return Finding("honest-blamed", f"{about} Dealer {dealer} has dealt rightly, and was named.")
        if way != HONEST and dealer not in named:
            return Finding(WAYS[way], f"{about} Dealer {dealer} was not named. What it did: {way}.")
    if named - set(given.dealt) or len(named) != len(wrong):
        return Finding("honest-blamed", f"{about} Named were {sorted(wrong)}.")
    if share != reduce(Scalar.__add__, (each.share for each in given.right), ZERO):
        return Finding(
            "share", f"{about} The right dealers were named, and the share is not what it should be."
        )
    if public != reduce(Point.__add__, (each.commitment[0] for each in given.right), IDENTITY):
        return Finding("public", f"{about} The share is right, and the public key is another one.")
    return None
