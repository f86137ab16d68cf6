"""Members that were changed, seen look by look, and what a learner's gate says of them. Used by lab O5."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labsupport.course.lessons.shepherding import Finding
from labsupport.operators.fleet import ANSWERS, Look

STEADY = 3  # looks in a row that must be good
PACE = 0.5  # seconds between two looks
Gate = Callable[[list[Look], float], Any]
# What may be wrong with a member, by what is then seen of it, and the finding where a gate does not mind.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "it is not ready": ({"ready": False}, "not-ready"),
    "its volume is another one": ({"id": "b0b"}, "another-member"),
    "the leader does not hear it": ({"heard": False}, "not-heard"),
    "it is ready, and behind": ({"caught_up": False}, "behind"),
    "it speaks newer protocols alone": ({"speaks": (3, 4)}, "protocol"),
    "it speaks older protocols alone": ({"speaks": (1, 1)}, "protocol"),
    "it has lost its share": ({"has_share": False}, "share"),
    "it does not answer": (
        {"id": "", "speaks": (0, 0), "has_share": False, "heard": False},
        "another-member",
    ),
}
GOOD = Look(
    age=0.0,
    ready=True,
    id="a11ce",
    was="a11ce",
    heard=True,
    caught_up=True,
    speaks=(1, 2),
    protocol=2,
    holder=True,
    has_share=True,
)


@dataclass(frozen=True)
class Case:
    """Looks at one member until now, what a gate is to say, what is behind it, and the finding if it says `on`, `back`
    or `wait` instead.
    """

    looks: tuple[Look, ...]
    limit: float
    answer: str
    about: str
    finding: dict[str, str]


def well(look: Look) -> bool:
    """Whether a look shows a member that nothing is wrong with."""
    lowest, highest = look.speaks
    speaks = lowest <= look.protocol <= highest
    known = look.id == look.was
    return (
        look.ready
        and known
        and look.heard
        and look.caught_up
        and speaks
        and (look.has_share or not look.holder)
    )


def right(looks: Sequence[Look], limit: float) -> str:
    """What is to be said of these looks."""
    newest = looks[-STEADY:]
    if len(newest) == STEADY and all(map(well, newest)):
        return "on"
    return "back" if looks[-1].age >= limit else "wait"


def cases(seed: int) -> Iterator[Case]:
    """The looks at one member of each kind, cut off at each length: as its operator gets to see them."""
    chance = random.Random(seed)
    limit = chance.choice((6.0, 10.0, 20.0))
    number = f"{chance.getrandbits(40):x}"
    # Which protocol is spoken, and what the member speaks of those around it: its edges count as well.
    speaks = chance.choice(((1, 2), (2, 3), (2, 2)))
    base = replace(GOOD, id=number, was=number, speaks=speaks)
    if chance.random() < 0.25:
        base = replace(base, holder=False, has_share=False)
    yield from _history(chance, base, limit, {}, "nothing is wrong with it", "never", "at first")
    for words, (fault, finding) in FAULTS.items():
        if finding == "share" and not base.holder:
            continue
        # Good at first or bad at first, for good or for a while: a crash loop, a slow start, a late fall.
        for shape in ("for good", "at first", "again and again", "later"):
            yield from _history(chance, base, limit, fault, f"{words}, {shape}", finding, shape)


def _history(
    chance: random.Random,
    base: Look,
    limit: float,
    fault: dict[str, Any],
    about: str,
    finding: str,
    shape: str,
) -> Iterator[Case]:
    count = int(limit / PACE) + 3
    turn = chance.randint(1, STEADY - 1)
    edge = chance.randint(2, count - STEADY)
    began = chance.choice((0.0, 0.5, 1.0, 3.0))
    looks: list[Look] = []
    for number in range(count):
        broken = {
            "for good": True,
            "at first": number < edge,
            "again and again": number % (turn + 1) == turn,
            "later": number < 1 or number >= edge,
        }[shape]
        look = replace(base, age=round(began + number * PACE, 1))
        looks.append(replace(look, **fault) if broken else look)
        answer = right(looks, limit)
        steady = len(looks) >= STEADY and any(map(well, looks[-STEADY:])) and well(looks[-1])
        unsteady = "steady" if steady or len(looks) < STEADY else finding
        yield Case(
            tuple(looks),
            limit,
            answer,
            about,
            {
                "on": unsteady,
                "back": "too-soon" if answer == "wait" else "sound",
                "wait": "never" if answer == "on" else "late",
            },
        )


def run_gate(function: Gate, seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong with a gate, or None."""
    for seed in seeds:
        for case in cases(seed):
            said = function(list(case.looks), case.limit)
            if said == case.answer and isinstance(said, str):
                continue
            last = case.looks[-1]
            about = (
                f"A member was changed: {case.about}. There are {len(case.looks)} looks at it, the limit is "
                f"{case.limit:g} s, and the last look is {_words(last)}. gate said {said!r}"
            )
            if said not in ANSWERS:
                return Finding("no-answer", f"{about}, which is none of {', '.join(map(repr, ANSWERS))}.")
            return Finding(case.finding[said], f"{about}.")
    return None


def _words(look: Look) -> str:
    """A look in words: what is not as it should be."""
    lowest, highest = look.speaks
    said = [f"at {look.age:g} s"]
    said += [] if look.ready else ["not ready"]
    said += [f"id {look.id or 'none'}, was {look.was}"] if look.id != look.was else []
    said += [] if look.heard else ["not heard by the leader"]
    said += [] if look.caught_up else ["not caught up"]
    said += [f"speaks {lowest} to {highest}, the Quorum {look.protocol}"]
    said += ["no share"] if look.holder and not look.has_share else []
    said += ["never was to have a share"] if not look.holder else []
    return ", ".join(said)
