"""An election by Lease in virtual time: a learner's candidate against itself and others, on generated schedules.

Each candidate is a thread, and only one of them runs at any time: what takes time (a request, a pause between two
looks) hands over to whatever is next in virtual time, so that requests of several candidates come between each other
in every way that a schedule asks for. Clocks start anywhere and run up to 4 % fast or slow, as real ones may.

The rules are those of client-go's leaderelection (https://pkg.go.dev/k8s.io/client-go/tools/leaderelection). Used by
lab O3's check, in the process of the learner's function.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from labsupport import kube
from labsupport.course.lessons.shepherding import Finding

Elect = Callable[[Any, str, dict[str, Any], Callable[[], float], bool], Any]
PROMISED = 6  # seconds that the exercise's candidates ask for; the others' promise twice that
DEADLINE = 4.0  # seconds for which the other's candidates act after a renewal, for each 6 that they promise
RETRY = 1.0  # seconds between two looks of a candidate, by its own clock
RATE = 0.04  # by how much a clock may be fast or slow
ACT = 1.3  # seconds that what was begun at the last moment may still be on its way
TIMEOUT = 1.0  # seconds after which a request that cannot get through is given up
SLOW = 5.0  # seconds that a slow read takes to the server
LATE = 8.8  # seconds after which the answer to a slow write comes: the other one has taken over by then
END = 45.0  # seconds of a schedule
SETTLED = 42.0  # the second from which somebody must act in any schedule
MOST = 12  # requests of one look, after which it is taken to go on for ever
FIELDS = ("holderIdentity", "leaseDurationSeconds", "renewTime")
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = (
    "calm",
    "dies",
    "leaves",
    "waiting one leaves",
    "cut off",
    "slow to read",
    "slow to write",
    "freezes",
)


class Killed(BaseException):
    """The candidate's process ends here. No `except Exception` stops it."""


@dataclass
class Candidate:
    """One of several that want to lead, and its clocks."""

    name: str
    elect: Elect
    offset: float  # what its monotonic clock says at second 0
    rate: float
    ahead: float  # seconds by which its wall clock is wrong
    until: float = -99.0  # the second, by true time, until which it acts
    alive: bool = True
    leaving: bool = False
    version: int = -1  # of the Lease that it read last
    asked: int = 0
    note: dict[str, Any] = field(default_factory=dict)
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Lease:
    """What a candidate gets to see of the Lease: as in labsupport/operators/elected.py."""

    def __init__(self, schedule: Schedule, candidate: Candidate) -> None:
        self._schedule, self._candidate = schedule, candidate

    def read(self) -> dict[str, Any]:
        """Its spec as it is."""
        return self._schedule.read(self._candidate)

    def write(self, change: dict[str, Any]) -> bool:
        """Alter these entries, unless somebody has written since the last read; whether that was done."""
        return self._schedule.write(self._candidate, dict(change))

    def stamp(self) -> str:
        """What the wall clock says."""
        now = BEGINNING + timedelta(seconds=self._schedule.now + self._candidate.ahead)
        return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def another(lease: Any, me: str, note: dict[str, Any], clock: Callable[[], float], leaving: bool) -> Any:
    """A candidate of another make, with times of its own: everything is twice as long."""
    began = clock()
    spec = lease.read()
    holder = spec.get("holderIdentity")
    if leaving:
        if holder == me:
            lease.write({"holderIdentity": ""})
        return None
    if note.get("seen") != (seen := (holder, spec.get("renewTime"))):
        note.update(seen=seen, at=clock())
    if holder not in (None, "", me) and began - note["at"] < spec["leaseDurationSeconds"]:
        return None
    promise = {"holderIdentity": me, "leaseDurationSeconds": 2 * PROMISED, "renewTime": lease.stamp()}
    return began + 2 * DEADLINE if lease.write(promise) else None


class Schedule:
    """One Lease and its candidates, from second 0 to `END`, with something that happens between 10 and 16."""

    def __init__(self, elect: Elect, seed: int) -> None:
        self.chance = chance = random.Random(seed)
        self.kind = KINDS[seed % len(KINDS)]
        makes = [elect, elect] if seed % 3 else [elect, another]
        fast = chance.choice((-RATE, RATE))
        self.candidates = [
            Candidate(
                f"ringer-{letter}",
                make,
                chance.uniform(60, 90_000),
                1 + (fast if letter == "a" else -fast),
                chance.choice((0, 0, -40, 55, 3600, -7200)),
            )
            for letter, make in zip("ab", makes, strict=True)
        ]
        if seed // len(KINDS) % 2:
            self.candidates.reverse()  # who comes first is not always of the same make
        self.spec: dict[str, Any] = {}
        self.now, self.version, self.changed = 0.0, 1, 0.0
        self.at = chance.uniform(10, 16)
        self.about = ""
        self.finding: Finding | None = None
        self.error: BaseException | None = None
        self._victim: Candidate | None = None
        self._slow: Candidate | None = None  # whose next request of the kind is slow
        self._rough = seed // len(KINDS) % 3 == 2  # others are slow as well, by chance
        self._vacant = 3.0  # nobody need act before this second
        self._queue: list[tuple[float, int, Any]] = []
        self._order = itertools.count()
        self._hand = threading.Semaphore(0)
        self._over = False
        self._acted: list[str] = []  # who acted, in turn

    # --- virtual time

    def run(self) -> None:
        """Let everything happen; `finding` and `error` say what was wrong."""
        for number, each in enumerate(self.candidates):
            threading.Thread(target=self._live, args=(each,), daemon=True).start()
            self._push(0.02 * number * self.chance.choice((0, 1, 30)), each)
        self._push(self.at, self._happen)
        for half in range(1, int(END * 2)):
            self._push(half / 2, self._look)
        while self._queue and not self.finding and not self.error:
            moment, _, what = heapq.heappop(self._queue)
            if moment > END:
                break
            self.now = moment
            if not isinstance(what, Candidate):
                what()
            elif what.alive:
                self._let(what)
        self._over = True
        for each in self.candidates:
            if each.alive:
                self._let(each)

    def _push(self, moment: float, what: Any) -> None:
        heapq.heappush(self._queue, (moment, next(self._order), what))

    def _let(self, candidate: Candidate) -> None:
        candidate.turn.release()
        self._hand.acquire()

    def pause(self, candidate: Candidate, seconds: float) -> None:
        """Let so many seconds pass for a candidate, and others have their turn. Errors: Killed."""
        if self._over or not candidate.alive:
            raise Killed
        self._push(self.now + seconds, candidate)
        self._hand.release()
        candidate.turn.acquire()
        if self._over or not candidate.alive:
            raise Killed

    def _live(self, candidate: Candidate) -> None:
        candidate.turn.acquire()
        try:
            while candidate.alive and not self._over:
                self._once(candidate)
                self.pause(candidate, RETRY / candidate.rate)
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        finally:
            candidate.alive = False
            self._hand.release()

    # --- one look of a candidate

    def _once(self, each: Candidate) -> None:
        each.asked = 0
        leaving = each.leaving
        if leaving:  # it has been stopped, and has ended what it was doing
            each.until = min(each.until, self.now - ACT)
        held = self.spec.get("holderIdentity") == each.name
        try:
            said = each.elect(
                Lease(self, each), each.name, each.note, lambda: each.offset + self.now * each.rate, leaving
            )
        except kube.Unreachable:
            return  # what it said last holds
        if leaving:
            self._left(each, held)
        elif said is None or said is False:
            each.until = min(each.until, self.now)
        elif isinstance(said, int | float) and not isinstance(said, bool):
            self._acts(each, (said - each.offset) / each.rate)
        else:
            self._found("no-time", f"{each.name} returned {said!r}.")

    def _acts(self, each: Candidate, until: float) -> None:
        each.until = until
        if until <= self.now:
            return
        if each.name not in self._acted[-1:]:
            self._acted.append(each.name)
        for other in self.candidates:
            if other is not each and other.until + ACT > self.now:
                self._found(
                    "two-leaders", f"{each.name} acts, and {other.name} may still: until {other.until:.1f}."
                )

    def _left(self, each: Candidate, held: bool) -> None:
        if self.spec.get("holderIdentity") == each.name:
            self._found(
                "keeps-it" if held else "takes-on-leaving", f"{each.name} has ended, and holds the Lease."
            )
        each.alive = False
        each.until = min(each.until, self.now)
        if held:
            self._vacant = self.now + RETRY * (1 + RATE) + 0.8

    # --- the API server

    def read(self, each: Candidate) -> dict[str, Any]:
        """Answer a candidate's request for the Lease."""
        before, after = self._delays(each, "read")
        self.pause(each, before)
        found, each.version = dict(self.spec), self.version
        self.pause(each, after)
        return found

    def write(self, each: Candidate, change: dict[str, Any]) -> bool:
        """Answer a candidate's request to alter it: only if it has not been altered since that one's last read."""
        before, after = self._delays(each, "write")
        self.pause(each, before)
        if fits := each.version == self.version:
            self._store(each, {key: value for key, value in change.items() if key in FIELDS})
        self.pause(each, after)
        return fits

    def _store(self, each: Candidate, change: dict[str, Any]) -> None:
        duration = change.get("leaseDurationSeconds", 1)
        if not isinstance(duration, int) or duration < 1:
            raise ValueError(f"spec.leaseDurationSeconds: {duration!r} is no number of seconds above 0")
        held, spec = self.spec.get("holderIdentity"), {**self.spec, **change}
        age, holder = self.now - self.changed, spec.get("holderIdentity")
        if held and holder != held and held != each.name:
            if each.leaving:
                self._found("takes-on-leaving", f"{each.name}, which is leaving, took the Lease from {held}.")
            elif age < 0.9 * self.spec.get("leaseDurationSeconds", 1):
                self._found(
                    "impatient",
                    f"{each.name} took the Lease {age:.1f} s after {held} had renewed it; {held} had promised "
                    f"{self.spec.get('leaseDurationSeconds')} s.",
                )
        if spec != self.spec:  # the API server does not store what changes nothing
            self.spec, self.changed, self.version = spec, self.now, self.version + 1
        each.version = self.version

    def _delays(self, each: Candidate, what: str) -> tuple[float, float]:
        """How long a request takes to the server, and its answer back. Errors: Unreachable, after a while."""
        each.asked += 1
        if each.asked > MOST:
            self._found("endless-requests", f"{each.name} made {MOST} requests in one look, and wanted more.")
            raise Killed
        trouble = self._victim is each and self.now < self.at + 16
        if trouble and self.kind == "cut off":
            self.pause(each, TIMEOUT)
            raise kube.Unreachable("The API server does not answer.")
        chance = self.chance
        before, after = chance.uniform(0.005, 0.06), chance.uniform(0.005, 0.06)
        if self.kind == f"slow to {what}":
            if self._slow is each:
                return self._once_slow(before, after)
            if self._rough and self.now < 30 and chance.random() < 0.3:
                before, after = chance.choice(((before + 5, after), (before, after + 5)))
        if trouble and self.kind == "freezes" and chance.random() < 0.5:
            before, after = chance.choice(((before, 14.0), (14.0, after)))
        return before, after

    def _once_slow(self, before: float, after: float) -> tuple[float, float]:
        """The worst moment to be slow: a read in which the leader renews and then dies, or a renewal whose answer comes
        when the promise has run out.
        """
        self._slow = None
        if self.kind == "slow to write":
            return before, LATE
        self._push(self.now + SLOW - 0.01, self._dies)
        return SLOW, after

    # --- what happens, and what must be so

    def _happen(self) -> None:
        """At second `at`: something befalls whoever leads, or in one kind the other one."""
        leader = next((each for each in self.candidates if each.until > self.now), None)
        if leader is None:
            return self._push(self.now + 0.5, self._happen) if self.now < END / 2 else None
        self.at = self.now
        (other,) = (each for each in self.candidates if each is not leader)
        self._victim = other if self.kind == "waiting one leaves" else leader
        name = self._victim.name
        promised = float(self.spec.get("leaseDurationSeconds", 1))
        patience = promised * (1 + RATE) + 2 * RETRY * (1 + RATE) + 0.8
        if self.kind == "dies":
            self._dies()
            self._vacant = self.now + patience
        elif self.kind == "slow to read":
            self._slow = other
            self.about = f" From {self.now:.1f} on {other.name}'s reads are slow."
        elif self.kind == "slow to write":
            self._slow = leader
            self.about = f" From {self.now:.1f} on {name}'s writes are slow."
        elif self.kind in ("leaves", "waiting one leaves"):
            self.about = f" At {self.now:.1f} {name} is asked to end."
            self._victim.leaving = True
            if self._victim is leader:
                self._vacant = self.now + 2 * RETRY + 1
        elif self.kind == "cut off":
            self.about = f" From {self.now:.1f} on no request of {name}'s gets through for 16 s."
            self._vacant = self.now + patience
        elif self.kind == "freezes":
            self.about = f" From {self.now:.1f} on {name} freezes in the midst of requests, for 14 s."
        return None

    def _dies(self) -> None:
        """Whoever led at second `at` is killed."""
        victim = self._victim
        if victim is not None and victim.alive:
            self.about += f" At {self.now:.1f} {victim.name} dies."
            victim.alive = False
            victim.until = min(victim.until, self.now)
            self._let(victim)  # its thread ends

    def _look(self) -> None:
        """Twice a second: does somebody act who should?"""
        rough = self.kind in ("slow to read", "slow to write", "freezes")
        if self.now < (SETTLED if rough else self._vacant):
            return
        if any(each.until > self.now for each in self.candidates):
            changes = {"calm": 1, "waiting one leaves": 1}.get(self.kind, 2)
            if not rough and len(self._acted) > changes:
                self._found("flaps", f"One after the other led: {', '.join(self._acted)}.")
            return
        holder = self.spec.get("holderIdentity")
        self._found(
            "nobody",
            f"Nobody acts, and {'nobody holds the Lease' if not holder else f'{holder} holds the Lease'}, which was "
            f"changed last {self.now - self.changed:.1f} s ago.",
        )

    def _found(self, problem: str, text: str) -> None:
        if self.finding is None:
            clocks = [f"the wall clock of {each.name} is {_wrong(each.ahead)}" for each in self.candidates]
            about = f"Two candidates; {', '.join(clocks)}.{self.about}"
            self.finding = Finding(problem, f"{about} At {self.now:.1f}: {text}")


def _wrong(ahead: float) -> str:
    return f"{abs(ahead):g} s {'fast' if ahead > 0 else 'slow'}" if ahead else "right"


def run_electing(elect: Elect, seeds: Iterable[int]) -> Finding | None:
    """The first thing that is wrong with a candidate in the schedules of `seeds`, or None.

    What the candidate raises is raised.
    """
    threading.stack_size(1 << 18)
    for seed in seeds:
        schedule = Schedule(elect, seed)
        schedule.run()
        if schedule.error:
            raise schedule.error
        if schedule.finding:
            return schedule.finding
    return None
