"""Fleets that are upgraded, in memory: members crash, leaders move, minds change, and a function orders the steps.

Used by lab O5. A history is made by a seed, second by second; in each one the learner's function is asked as it would
be by an operator that has just been started, and its step is judged before it is done.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labsupport.course.lessons.shepherding import Finding
from labsupport.operators.fleet import Change, Done, HandOver, Member, Step, Wait

RELEASES = ("1.0", "1.1", "2.0", "3.7")
TROUBLES = ("it does not answer", "it is not ready", "it is behind", "the leader does not reach it")
GONE = "its Pod is not there"
SECONDS = 240  # of one history, which is over long before
STARTING = (2, 5)  # seconds until a new Pod is well, at least and at most
Order = Callable[[list[Member], str], Any]


def told(members: Iterable[Member], wanted: str) -> str:
    """A fleet in words."""
    return f"{wanted} is wanted; {'; '.join(map(str, members))}"


def judge(members: Sequence[Member], wanted: str, step: Any) -> Finding | None:
    """What is wrong with a step for these members; None if nothing is."""
    about = f"In one second of a generated history: {told(members, wanted)}. next_step said {step!r}"

    def bad(problem: str, why: str) -> Finding:
        return Finding(problem, f"{about}, {why}.")

    if not isinstance(step, Change | HandOver | Wait | Done):
        return bad("no-step", "which is none of the four steps")
    names = {each.name: each for each in members}
    if isinstance(step, Change | HandOver) and step.name not in names:
        return bad("no-member", "and there is no such member")
    behind = [each for each in members if each.release != wanted]
    ailing = [each for each in members if each.trouble]
    leader = next((each for each in members if each.leads), None)
    if isinstance(step, Done):
        if behind:
            return bad("done-early", f"and {behind[0].name} is not of {wanted}")
        return bad("done-early", f"and {ailing[0].name} is not well") if ailing else None
    if isinstance(step, Change | HandOver):
        if leader is None:
            return bad("no-leader", "and nobody leads: nobody knows who is well and who is not")
        target = names[step.name]
        others = [each for each in ailing if each.name != step.name]
        if isinstance(step, Change):
            return _changed(bad, wanted, target, others)
        if others:
            return bad("two-down", f"while {others[0].name} is not well: the old leader's turn comes next")
        return _handed_over(bad, target, [each for each in behind if not each.leads])
    return _waited(bad, leader, behind, ailing)


Bad = Callable[[str, str], Finding]


def _changed(bad: Bad, wanted: str, target: Member, others: list[Member]) -> Finding | None:
    if not target.release:
        return bad("again", f"and {target.name} has no Pod to be changed: it is being made anew already")
    if target.release == wanted:
        return bad("again", f"and {target.name} is of {wanted} already")
    if target.leads:
        return bad(
            "leader-restarted", f"and {target.name} leads: until the others elect one, no write is done"
        )
    if others:
        return bad("two-down", f"while {others[0].name} is not well: that makes two")
    return None


def _handed_over(bad: Bad, target: Member, followers: list[Member]) -> Finding | None:
    if target.leads:
        return bad("heir", f"and {target.name} leads already")
    if target.trouble:
        return bad("heir", f"and {target.name} is not well")
    if followers:
        return bad("leader-early", f"and the follower {followers[0].name} still has to be changed")
    return None


def _waited(bad: Bad, leader: Member | None, behind: list[Member], ailing: list[Member]) -> Finding | None:
    """Whether there was anything to wait for."""
    if leader is None or len(ailing) > 1:
        return None
    if ailing:
        (one,) = ailing
        if one in behind and one.release:
            return bad(
                "waits-for-the-old",
                f"and what it waits for may never come: {one.name} is of the old release, and down anyway",
            )
        return None
    if not behind:
        return bad("never-done", "and every member is well and as wanted")
    if behind == [leader]:
        return bad("waits", f"and all are well: nothing is left but the leader {leader.name}")
    return bad("waits", "and all are well: nothing will come of itself")


@dataclass
class _Place:
    """What becomes of one member: `down` counts the seconds until it is well again."""

    name: str
    release: str
    down: int = 0
    trouble: str = ""
    making: int = 0  # seconds until its Pod is there


class Fleet:
    """One history: a fleet, what is wanted of it, and what chance does to it; nothing in a `calm` one."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self._chance = chance = random.Random(seed)
        self.size = chance.choice((3, 3, 5))
        name = chance.choice(("q", "ledger", "store"))
        # What it comes from and goes to, in any order: it may be a way back.
        self._releases = chance.sample(RELEASES, 3)
        self.wanted = self._releases[1]
        self._places = [_Place(f"{name}-{number}", self._releases[0]) for number in range(self.size)]
        if chance.random() < 0.3:
            self._places[chance.randrange(self.size)].release = self.wanted
        self._leader = chance.choice(self._places).name
        self._elects = 0
        self._minds = 1 if not calm and chance.random() < 0.5 else 0
        self._accidents = 0 if calm else 2
        self._restless = 0.0 if calm else 0.05  # how probable it is that the leader changes, in each second

    def members(self) -> list[Member]:
        """As an operator sees them now."""
        found = []
        for each in self._places:
            release = "" if each.making else each.release
            trouble = GONE if each.making else each.trouble if each.down else ""
            leads = each.name == self._leader and not trouble and self._majority()
            found.append(Member(each.name, release, leads, trouble))
        return found

    def _majority(self) -> bool:
        return sum(not each.down and not each.making for each in self._places) > self.size // 2

    def do(self, step: Step) -> None:
        """What a step does."""
        if isinstance(step, HandOver):
            self._leader = step.name
        if isinstance(step, Change):
            place = next(each for each in self._places if each.name == step.name)
            place.release, place.making = self.wanted, self._chance.randint(1, 3)
            place.down, place.trouble = self._chance.randint(*STARTING), TROUBLES[1]

    def second(self) -> None:
        """One goes by: Pods start, members crash, leaders are elected, somebody wants something else."""
        chance = self._chance
        for each in self._places:
            if each.making:
                each.making -= 1
            elif each.down:
                each.down -= 1
        if self._accidents and chance.random() < 0.12:
            self._accidents -= 1
            victim = chance.choice(self._places)
            if not victim.making:
                victim.down, victim.trouble = chance.randint(2, 6), chance.choice(TROUBLES)
        up = [each.name for each in self._places if not each.down and not each.making]
        if self._leader not in up:
            self._leader = ""
        if not self._leader and self._majority():
            self._elects += 1
            if self._elects > 1:
                self._leader, self._elects = chance.choice(up), 0
        elif self._leader and chance.random() < self._restless:
            self._leader = chance.choice(up)  # leaders may change for reasons of their own
        if self._minds and chance.random() < 0.1:
            self._minds -= 1
            self.wanted = chance.choice((self._releases[0], self._releases[2]))


def state(seed: int) -> tuple[list[Member], str]:
    """A fleet that no history has to lead to, and what is wanted: any member in any state, at most one leader, who is
    well.
    """
    chance = random.Random(f"state {seed}")
    size = chance.choice((3, 5))
    old, wanted, other = chance.sample(RELEASES, 3)
    found = []
    for number in range(size):
        release = chance.choice((old, wanted, wanted, other))
        trouble = chance.choice(TROUBLES) if chance.random() < 0.2 else ""
        found.append(Member(f"q-{number}", release, False, trouble))
        if chance.random() < 0.08:
            found[-1] = replace(found[-1], release="", trouble=GONE)
    well = [number for number, each in enumerate(found) if not each.trouble]
    if len(well) > size // 2 and chance.random() < 0.9:
        number = chance.choice(well)
        found[number] = replace(found[number], leads=True)
    return found, wanted


def run_order(function: Order, seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong with the steps that a function orders, or None. Calm histories come first: what is
    wrong there is the first thing to mend.
    """
    seeds = [*seeds]
    for seed in seeds[: len(seeds) // 4]:
        if wrong := _run(function, Fleet(seed, calm=True)):
            return wrong
    for seed in seeds:
        members, wanted = state(seed)
        wrong = judge(members, wanted, function(list(members), wanted)) or _run(function, Fleet(seed))
        if wrong:
            return wrong
    return None


def _run(function: Order, fleet: Fleet) -> Finding | None:
    for _ in range(SECONDS):
        members, wanted = fleet.members(), fleet.wanted
        step = function(list(members), wanted)
        if wrong := judge(members, wanted, step):
            return wrong
        if isinstance(step, Done):
            break
        fleet.do(step)
        fleet.second()
    return None
