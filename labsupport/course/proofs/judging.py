"""One answer to one exercise, judged as a learner's would be: run or applied at the exercise's start, then checked.

What can be decided without a cluster is, since most wrong programs are rejected there; the rest gets a fresh start of
the exercise on the real cluster. Nothing is recorded as the learner's progress.
"""

from __future__ import annotations

import io
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from labsupport import kube
from labsupport.course import exercise as engine
from labsupport.course.authoring import solution_of, telling_lines
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.progress import Progress
from labsupport.course.source import run_cell
from labsupport.course.verdict import Verdict
from labsupport.course.worlds import snapshot
from labsupport.course.worlds import world as worlds
from labsupport.course.worlds.world import World
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

RUN_LIMIT = 120.0  # seconds for an answer cell: as long as a notebook's cell may take in the tests
CHECK_LIMIT = 60.0  # seconds: the promise to learners

Kind = Literal["pass", "not_yet", "could_not_check", "raised", "undecided"]


@dataclass(frozen=True)
class Answer:
    """An answer: Python that a cell would hold, or YAML. `may_raise`: a learner's cell that raises is an answer too."""

    name: str
    text: str
    yaml: bool = False
    elsewhere: bool = False
    may_raise: bool = True


@dataclass(frozen=True)
class Judged:
    """What became of an answer. `notes` say what must not be.

    `undecided`: there is no cluster to decide; the diagnostic is `passes-offline` where the offline check is content.
    """

    verdict: Kind
    diagnostic: str = ""
    observed: str = ""
    notes: tuple[str, ...] = ()
    seconds_offline: float | None = None
    seconds_live: float | None = None


@dataclass
class _Ran:
    """The names that an answer defined, and the exception that ended it early."""

    names: dict[str, Any]
    error: Exception | None = None
    store: Progress = field(default_factory=Progress)


class _Nowhere:
    """Stands for the API client where there is no cluster: whoever asks it anything learns that."""

    def __getattr__(self, name: str) -> Any:
        raise kube.Unreachable("There is no cluster here.")


class TookTooLong(Exception):
    """An answer ran longer than a cell may."""


def execute(api: ApiClient, lab: Lab, source: str) -> dict[str, Any]:
    """Run answer cells as a notebook would, with a `lab` of their own, and return the names that they define.

    Whatever they raise is raised.
    """
    from labsupport.course.context import Context

    names: dict[str, Any] = {}
    names["lab"] = Context(names).at(api, lab)
    run_cell(source, names, "the answer")
    return names


class Judge:
    """Judges answers to one exercise on the cluster behind `api`, or without one."""

    def __init__(
        self,
        api: ApiClient | None,
        lab: Lab,
        exercise: Exercise,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.api, self.lab, self.exercise, self.progress = api, lab, exercise, progress
        self._offline = exercise.id in engine.checks_of(lab, "OFFLINE")
        self._live = exercise.id in engine.checks_of(lab)

    @property
    def possible(self) -> bool:
        """Whether anything can be judged here: without a cluster, only what has an offline check."""
        return self.api is not None or self._offline

    def judge(self, answer: Answer, *, twice: bool = False, watched: bool = False) -> Judged:
        """What becomes of `answer`. `twice`: checked twice, which must give the same; `watched`: the whole cluster is
        compared before and after its checks.
        """
        self.progress(f"{self.exercise.id}: {answer.name}")
        with tempfile.TemporaryDirectory(prefix="labs-") as scratch:
            first = None
            if self._offline and not answer.yaml:
                first = self._judge_offline(answer, Path(scratch), twice=twice)
            if first and (first.verdict != "undecided" or self.api is None):
                return first
            if self.api is None:
                return Judged("undecided", "needs-the-cluster")
            return self._judge_live(answer, Path(scratch), first, twice=twice, watched=watched)

    def _judge_offline(self, answer: Answer, scratch: Path, *, twice: bool) -> Judged:
        """The verdict as far as no cluster is needed; `undecided` where it is the cluster that decides."""
        ran = self._run(answer, scratch / "offline.sqlite", _Nowhere(), self._earlier(scratch))
        began = time.monotonic()
        asked = False

        def connect() -> Any:
            nonlocal asked
            asked = True
            raise kube.Unreachable("There is no cluster here.")

        verdict, notes = self._check(ran, connect, twice=twice)
        seconds = verdict.seconds
        if ran.error and not isinstance(ran.error, kube.Unreachable) and not answer.may_raise:
            return Judged("raised", type(ran.error).__name__, str(ran.error))
        # Where the cluster was missed before the answer's end, a name may be missing for that reason.
        cut_short = isinstance(ran.error, kube.Unreachable) and verdict.diagnostic == "name-missing"
        if asked or cut_short:
            reason = "needs-the-cluster" if cut_short else "passes-offline"
            return Judged("undecided", reason, notes=notes, seconds_offline=seconds)
        self.progress(f"{self.exercise.id}: {answer.name} ({time.monotonic() - began:.1f} s)")
        return Judged(verdict.verdict, verdict.diagnostic, verdict.observed, notes, seconds_offline=seconds)

    def _judge_live(
        self, answer: Answer, scratch: Path, first: Judged | None, *, twice: bool, watched: bool
    ) -> Judged:
        assert self.api is not None  # noqa: S101 (judge() asks)
        api, world = self.api, World(self.api, self.lab)
        started = worlds.start(world, self.exercise.id)
        elsewhere = world.name("elsewhere") if answer.elsewhere else ""
        try:
            if answer.yaml:
                ran = _Ran({}, store=Progress(scratch / "live.sqlite"))
                try:
                    self._apply(world, answer, elsewhere)
                except LabsError as error:
                    ran.error = error
            else:
                ran = self._run(answer, scratch / "live.sqlite", api, started.names)
            if ran.error and not answer.may_raise:
                return Judged("raised", type(ran.error).__name__, str(ran.error))
            before = snapshot.at_rest(api) if watched and not self.exercise.breaks else None
            verdict, notes = self._check(ran, lambda: api, twice=twice)
            if before is not None:
                changes = snapshot.difference_when_settled(api, before, snapshot.REST)
                notes += tuple(f"the check left the cluster changed: {change}" for change in changes)
        finally:
            if elsewhere:
                worlds.empty(world, elsewhere)
                namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": elsewhere}}
                kube.delete(api, [namespace])
        return Judged(
            verdict.verdict,
            verdict.diagnostic,
            verdict.observed,
            notes + (first.notes if first else ()),
            seconds_offline=first.seconds_offline if first else None,
            seconds_live=verdict.seconds if self._live else None,
        )

    def _run(self, answer: Answer, store: Path, api: Any, names: dict[str, Any]) -> _Ran:
        """Run Python as the next cell of the notebook whose names are `names`."""
        from labsupport.course.context import Context

        ran = _Ran(names, store=Progress(store))
        names["lab"] = Context(names, ran.store).at(api, self.lab)
        try:
            # What an answer prints is for the learner's notebook; here it would stand in the midst of the result.
            with _at_most(RUN_LIMIT), redirect_stdout(io.StringIO()):
                run_cell(answer.text, names, "the answer")
        except Exception as error:
            ran.error = error
        return ran

    def _earlier(self, scratch: Path) -> dict[str, Any]:
        """What the solutions of the earlier exercises define, as far as they come without a cluster."""
        names: dict[str, Any] = {}
        for exercise in self.lab.exercises:
            if exercise.id == self.exercise.id:
                break
            solution = Answer(exercise.id, solution_of(self.lab, exercise.id))
            self._run(solution, scratch / "earlier.sqlite", _Nowhere(), names)
        return names

    def _apply(self, world: World, answer: Answer, elsewhere: str) -> None:
        if elsewhere:
            worlds.ensure_namespace(world, elsewhere)
        kube.apply(world.api, worlds.parse(world, answer.text), namespace=elsewhere or world.namespace)

    def _check(
        self, ran: _Ran, connect: Callable[[], Any], *, twice: bool
    ) -> tuple[Verdict, tuple[str, ...]]:
        """The first verdict, the time of the slower check, and what is wrong with the verdicts as such."""
        verdicts = []
        for _ in range(2 if twice else 1):
            verdicts.append(
                engine.run(self.lab, self.exercise, connect=connect, answers=ran.names, store=ran.store)
            )
        first, second = verdicts[0], verdicts[-1]
        notes = []
        if (first.verdict, first.diagnostic) != (second.verdict, second.diagnostic):
            notes.append(f"twice in a row: {first.diagnostic}, then {second.diagnostic}")
        for verdict in verdicts:
            said = "\n".join((verdict.observed, verdict.decided_by, verdict.look))
            if "Traceback (most recent call last)" in said:
                notes.append(f"{verdict.diagnostic} shows a raw traceback")
            if verdict.verdict == "not_yet":
                notes += [
                    f"{verdict.diagnostic} says a line of the solution: {line}"
                    for line in telling_lines(self.lab, self.exercise)
                    if line in said
                ]
            if verdict.seconds > CHECK_LIMIT:
                notes.append(f"a check took {verdict.seconds:.0f} s")
        slower = max(verdict.seconds for verdict in verdicts)
        return replace(first, seconds=slower), tuple(dict.fromkeys(notes))


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """End an endless loop in the main thread after `seconds`; elsewhere signals do not reach, and nothing is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"The answer ran longer than {seconds:.0f} s.")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(
        signal.ITIMER_REAL, seconds, 5.0
    )  # once more where a bare `except:` has caught the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
