"""Who leads a Quorum, by what its members say: situations in which a leader has just gone, for lab O4.

Each situation is made from a kind and a seed, with names, terms and the order of the answers drawn by chance. The
learner's function sees the answers (`labsupport.operators.member_answer.Answer`) and nothing else. Its rules:

- A term has one leader at most, and a leader of a newer term deposes those of older ones.
- A candidate asks for votes in a term of its own. Nobody is deposed until it is elected.
- Whoever does not reach more than half of the voters can decide nothing.
- What a member has said of itself more than FRESH seconds ago need not hold any more; that somebody was elected does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labsupport.course.lessons.shepherding import Finding
from labsupport.operators.member_answer import Answer

FRESH = 2.0  # seconds

Leads = Callable[[list[Answer]], Any]


@dataclass(frozen=True)
class Situation:
    """What the members have said last, who leads (None: nobody that may be written to), and what is at stake."""

    answers: tuple[Answer, ...]
    right: str | None
    problem: str  # the finding for whoever names another member
    about: str


class _Cast:
    """Members of a Quorum, and a term, drawn by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.size = self.chance.choice((3, 5))
        self.names = [f"q-{number}" for number in range(self.size)]
        self.chance.shuffle(self.names)
        self.term = self.chance.randint(2, 40)
        self.majority = self.size // 2 + 1

    def age(self) -> float:
        """Of an answer that is fresh."""
        return round(self.chance.uniform(0.0, 0.9), 2)

    def leader(self, name: str, term: int, reaches: int) -> Answer:
        return Answer(name, self.age(), "leader", term, name, self.size, reaches)

    def follower(self, name: str, term: int, leader: str) -> Answer:
        reaches = self.chance.randint(1, self.size)
        return Answer(name, self.age(), "follower", term, leader, self.size, reaches)

    def followers(self, names: Iterable[str], term: int, leader: str) -> list[Answer]:
        return [self.follower(each, term, leader) for each in names]

    def later(self) -> int:
        """A newer term."""
        return self.term + self.chance.randint(1, 3)


def _steady(cast: _Cast) -> Situation:
    head, *others = cast.names
    said = [cast.leader(head, cast.term, cast.size), *cast.followers(others, cast.term, head)]
    return _made(cast, said, head, "another", "All is well.")


def _late_follower(cast: _Cast) -> Situation:
    head, *others, late = cast.names
    now = cast.later()
    said = [cast.leader(head, now, cast.majority), *cast.followers(others, now, head)]
    return _made(
        cast,
        [*said, cast.follower(late, cast.term, cast.names[1])],
        head,
        "another",
        "One member has not heard of the newest election yet.",
    )


def _electing(cast: _Cast) -> Situation:
    said = cast.followers(cast.names[1:], cast.term, "")
    said[0] = replace(said[0], role="candidate", term=cast.term + 1)
    return _made(cast, said, None, "nobody-elected", "The leader is gone, and an election is under way.")


def _silence(cast: _Cast) -> Situation:
    return _made(cast, [], None, "nobody-elected", "No member has ever answered.")


def _deposed(cast: _Cast) -> Situation:
    old, new, *others = cast.names
    now = cast.later()
    said = [cast.leader(old, cast.term, cast.size), cast.leader(new, now, cast.majority)]
    said += cast.followers(others, now, new)
    return _made(cast, said, new, "deposed", "A new leader was elected, and the old one has not noticed yet.")


def _deposed_unseen(cast: _Cast) -> Situation:
    old, new, *others = cast.names
    said = [cast.leader(old, cast.term, cast.size), *cast.followers(others, cast.later(), new)]
    return _made(
        cast, said, None, "deposed", "A new leader was elected that has not answered yet; the old one has."
    )


def _deposed_long_ago(cast: _Cast) -> Situation:
    old, new, *others = cast.names
    gone = replace(cast.leader(new, cast.later(), cast.size), age=cast.chance.uniform(FRESH + 1.0, 9.0))
    said = [gone, cast.leader(old, cast.term, cast.size), *cast.followers(others, cast.term, old)]
    return _made(
        cast,
        said,
        None,
        "deposed",
        "A leader of a newer term is silent since a while; the one before it answers, and so do some who have not "
        "heard of any newer one.",
    )


def _alone(cast: _Cast) -> Situation:
    head, *others = cast.names
    said = [cast.leader(head, cast.term, cast.chance.randint(1, cast.majority - 1))]
    said += cast.followers(others[: cast.majority - 1], cast.term, head)
    return _made(cast, said, None, "minority", "The leader does not reach enough others.")


def _half(cast: _Cast) -> Situation:
    """While a Quorum grows or shrinks, the number of its voters is even for a time."""
    head, *others = cast.names
    voters = cast.size + 1
    said = [cast.leader(head, cast.term, voters // 2), *cast.followers(others, cast.term, head)]
    said = [replace(each, voters=voters) for each in said]
    return _made(cast, said, None, "minority", "A member is being added, and the leader reaches half.")


def _more_than_half(cast: _Cast) -> Situation:
    head, *others = cast.names
    voters = cast.size + 1
    said = [cast.leader(head, cast.term, voters // 2 + 1), *cast.followers(others, cast.term, head)]
    return _made(
        cast,
        [replace(each, voters=voters) for each in said],
        head,
        "another",
        "A member is being added, and the leader reaches enough others.",
    )


def _stale(cast: _Cast) -> Situation:
    head, *others = cast.names
    old = replace(
        cast.leader(head, cast.term, cast.size), age=round(FRESH + cast.chance.uniform(0.05, 8.0), 2)
    )
    said = [old, *cast.followers(others, cast.term, head)]
    return _made(cast, said, None, "stale", "The leader has not answered for a while.")


def _just_fresh(cast: _Cast) -> Situation:
    head, *others = cast.names
    said = [replace(cast.leader(head, cast.term, cast.size), age=FRESH)]
    said += cast.followers(others, cast.term, head)
    return _made(cast, said, head, "another", f"The leader's last answer is {FRESH:g} s old.")


def _candidate(cast: _Cast) -> Situation:
    head, *others, lonely = cast.names
    said = [cast.leader(head, cast.term, cast.size - 1), *cast.followers(others, cast.term, head)]
    asking = replace(cast.follower(lonely, cast.later(), ""), role="candidate", reaches=1)
    return _made(
        cast,
        [*said, asking],
        head,
        "another",
        "A member that is cut off asks for votes in vain, in a newer term; the leader goes on.",
    )


def _back_as_follower(cast: _Cast) -> Situation:
    old, new, *others = cast.names
    now = cast.later()
    said = [cast.follower(old, now, new), cast.leader(new, now, cast.size), *cast.followers(others, now, new)]
    return _made(cast, said, new, "another", "The old leader is back, and follows the new one.")


KINDS = (
    *(_steady, _late_follower, _electing, _silence, _deposed, _deposed_unseen, _deposed_long_ago),
    *(_alone, _half, _more_than_half, _stale, _just_fresh, _candidate, _back_as_follower),
)


def _made(cast: _Cast, said: list[Answer], right: str | None, problem: str, about: str) -> Situation:
    cast.chance.shuffle(said)
    return Situation(tuple(said), right, problem, about)


def situation(seed: int) -> Situation:
    """The situation of a seed; as many in a row as there are kinds have each kind once."""
    return KINDS[seed % len(KINDS)](_Cast(seed))


def run_failovers(leads: Leads, seeds: Iterable[int]) -> Finding | None:
    """The first situation in which a function is wrong about who leads, or None."""
    for seed in seeds:
        given = situation(seed)
        found = leads(list(given.answers))
        if wrong := _judged(given, found):
            return Finding(wrong, f"{given.about} {_told(given.answers)} `leads` returned {found!r}.")
    return None


def _judged(given: Situation, found: Any) -> str:
    if found is not None and not isinstance(found, str):
        return "no-name"
    if found == given.right:
        return ""
    names = {each.name for each in given.answers} | {each.leader for each in given.answers}
    if found is None:
        return "nobody"
    if any(each.name == found and each.age > FRESH for each in given.answers):
        return "stale"
    return given.problem if found in names else "unknown"


def _told(answers: Sequence[Answer]) -> str:
    if not answers:
        return "There are no answers."
    lines = [
        f"{each.name}: {each.role} in term {each.term}, for it {each.leader or 'nobody'} leads, reaches {each.reaches} "
        f"of {each.voters}, {each.age:.2f} s ago"
        for each in answers
    ]
    return "; ".join(lines) + "."
