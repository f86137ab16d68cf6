"""The proof that the exercises are honest: the shipped state is not solved, solutions pass, wrong answers
do not.

Each answer is given to a fresh start of the exercise on the real cluster, and its verdict compared with
what lab.toml says. Nothing is recorded as the learner's progress.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course import exercise as engine
from labsupport.course.authoring import cells, filled, gap, shipped_of, solution_of
from labsupport.course.manifest import Exercise, Lab, labs
from labsupport.course.source import run_cell
from labsupport.course.verdict import Verdict
from labsupport.course.world import World, empty, ensure_namespace, start

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@dataclass(frozen=True)
class WrongResult:
    """What became of one wrong answer."""

    name: str
    verdict: str
    diagnostic: str
    expected: str

    @property
    def ok(self) -> bool:
        """Whether it was rejected for the right reason."""
        return self.verdict == "not_yet" and self.diagnostic == self.expected


@dataclass(frozen=True)
class ExerciseResult:
    """What was proven of one exercise; seconds are those of its slowest check."""

    id: str
    form: str
    shipped: str
    solution: str
    second: tuple[str, ...]
    seconds_live: float
    wrong: tuple[WrongResult, ...]
    seconds_offline: float | None = None
    mutants: dict[str, int] | None = None

    @property
    def ok(self) -> bool:
        """Whether everything was as lab.toml says."""
        accepted = self.solution == "pass" and all(verdict == "pass" for verdict in self.second)
        return accepted and self.shipped == "not_yet" and all(wrong.ok for wrong in self.wrong)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs content --json`)."""
        return asdict(self)


def prove(
    api: ApiClient,
    chosen: Iterable[Lab] | None = None,
    *,
    progress: Callable[[str], None] = lambda text: None,
) -> list[ExerciseResult]:
    """Prove every exercise of the `chosen` labs (default: all) on the cluster behind `api`. Resets their
    namespaces.
    """
    results = []
    for lab in labs() if chosen is None else chosen:
        for exercise in lab.exercises:
            results.append(_prove(api, lab, exercise, progress))
    return results


def _prove(api: ApiClient, lab: Lab, exercise: Exercise, progress: Callable[[str], None]) -> ExerciseResult:
    world = World(api, lab)
    slowest = 0.0

    def judge(name: str, answer: Callable[[], dict[str, Any]]) -> Verdict:
        nonlocal slowest
        progress(f"{exercise.id}: {name}")
        start(world, exercise.id)
        names = answer()
        began = time.monotonic()
        verdict = engine.run(lab, exercise, connect=lambda: api, answers=names)
        slowest = max(slowest, time.monotonic() - began)
        return verdict

    shipped = judge("as shipped", lambda: execute(api, lab, shipped_of(lab, exercise.id)))
    solution = judge("reference solution", lambda: execute(api, lab, solution_of(lab, exercise.id)))
    second = [
        judge(name, partial(_apply, world, f"solutions/{exercise.id}/{name}")) for name in exercise.second
    ]
    wrong = []
    elsewhere = world.name("elsewhere")
    for each in exercise.wrong:
        place = elsewhere if each.elsewhere else ""
        file = f"wrong/{exercise.id}/{each.file}"
        try:
            verdict = judge(each.file, partial(_apply, world, file, place))
        finally:
            if place:
                empty(world, place)
        wrong.append(WrongResult(each.file, verdict.verdict, verdict.diagnostic, each.diagnostic))
    if any(each.elsewhere for each in exercise.wrong):
        kube.delete(api, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": elsewhere}}])
    return ExerciseResult(
        exercise.id,
        exercise.form,
        shipped.verdict,
        solution.verdict,
        tuple(verdict.verdict for verdict in second),
        round(slowest, 2),
        tuple(wrong),
    )


def execute(api: ApiClient, lab: Lab, source: str) -> dict[str, Any]:
    """Run answer cells as a notebook would, with a `lab` of their own, and return the names that they
    define.
    """
    from labsupport.course.context import Context

    names: dict[str, Any] = {}
    names["lab"] = Context(names).at(api, lab)
    run_cell(source, names, "the answer")
    return names


def _apply(world: World, file: str, namespace: str = "") -> dict[str, Any]:
    if namespace:
        ensure_namespace(world, namespace)
    if file.endswith(".py"):
        return execute(world.api, world.lab, (world.lab.directory / file).read_text(encoding="utf-8"))
    kube.apply(world.api, kube.load(world.lab.directory / file), namespace=namespace or world.namespace)
    return {}


def leaks(lab: Lab, exercise: Exercise) -> list[str]:
    """Lines of the solution that a hint of the exercise contains."""
    gaps = {
        line.strip()
        for cell in cells(lab)
        if cell.exercise == exercise.id
        for line in gap(cell.source).split("\n")
    }
    solution = {
        line.strip()
        for cell in cells(lab)
        if cell.exercise == exercise.id
        for line in filled(cell.source).split("\n")
    } - gaps
    hints = [re.sub(r"\s+", " ", hint) for hint in exercise.hints]
    # A line of one word, such as "spec:", is vocabulary and gives nothing away.
    telling = [line for line in solution if len(line.split()) > 1]
    return sorted(line for line in telling if any(line in hint for hint in hints))
