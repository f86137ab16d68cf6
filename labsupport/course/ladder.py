"""The rules of help: what is offered after how many failed checks, and when the solution opens.

Help is offered, never forced: hints come one at a time and on request, and the solution does not ask for hints first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from labsupport.course.authoring import solution_of
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.progress import Progress, Record
from labsupport.course.verdict import Verdict
from labsupport.course.views import Note
from labsupport.course.worlds.world import expand

FAILURES_BEFORE_HINT = 2
FAILURES_BEFORE_SOLUTION = 3


@dataclass(frozen=True)
class Hint:
    """A rung of the ladder: which of how many, and the hints up to it."""

    level: int
    highest: int
    note: Note


@dataclass(frozen=True)
class Solution:
    """A solution if it is open, else (with no code in the note) when it opens."""

    open: bool
    note: Note


def recorded(verdict: Verdict, store: Progress, *, hints: int = 3) -> Verdict:
    """Store the attempt; the verdict with its hint level and, where it helps, the name of the next step.

    `hints` is how many the exercise has. Whatever is wrong with the store is said in the verdict and hides no pass.
    """
    try:
        verdict = replace(verdict, hint_level=store.record(verdict.exercise).hint_level)
        store.add(verdict)
        help_offered = advice(verdict, store.record(verdict.exercise), hints)
        note = store.trouble()
    except Exception as error:
        return replace(verdict, note=f"This attempt could not be recorded: {error}")
    return replace(verdict, advice=help_offered, note=note)


def advice(verdict: Verdict, record: Record, hints: int = 3) -> str:
    """The next step to offer with a verdict; empty where the verdict itself is enough."""
    if verdict.verdict != "not_yet":
        return ""
    solution = f'`lab.solution("{record.exercise}")` shows one way, with its reasons.'
    hint = f'`lab.hint("{record.exercise}")` gives {"a" if record.hint_level == 0 else "the next"} hint.'
    offers = []
    if record.failed_in_a_row >= FAILURES_BEFORE_HINT and record.hint_level < hints:
        offers.append(hint)
    if record.failed_in_a_row >= FAILURES_BEFORE_SOLUTION:
        offers.append(solution)
    return " ".join(offers)


def failures_before_solution(record: Record) -> int:
    """How many more failed checks open the solution; 0 when it is open. Once shown or passed it stays open."""
    if record.first_passed is not None or record.solution_shown:
        return 0
    return max(0, FAILURES_BEFORE_SOLUTION - record.failed_in_a_row)


def next_hint(lab: Lab, exercise: Exercise, store: Progress) -> Hint:
    """Take the next hint; the note has those before it too. On the last rung it stays the same."""
    highest = len(exercise.hints)
    level = store.take_hint(exercise.id, highest)
    hints = [expand(lab, hint.strip()) for hint in exercise.hints[:level]]
    lines = [f"{number}. {hint}" for number, hint in enumerate(hints, 1)]
    note = Note("\n".join([*lines, *_trouble(store)]), f"Hint {level} of {highest} for {exercise.id}")
    return Hint(level, highest, note)


def solution(lab: Lab, exercise: Exercise, store: Progress) -> Solution:
    """One way to solve an exercise, and why, if it is open yet."""
    missing = failures_before_solution(store.record(exercise.id))
    if missing > 0:
        text = (
            f"It opens after a pass, or after {missing} more failed check{'s' if missing > 1 else ''}. "
            f'Until then `lab.hint("{exercise.id}")` helps, one step at a time.'
        )
        lines = "\n".join([text, *_trouble(store)])
        return Solution(False, Note(lines, f"The solution of {exercise.id} is not open yet"))
    store.see(exercise.id, "solution")
    lines = "\n".join([expand(lab, exercise.explanation.strip()), *_trouble(store)])
    return Solution(True, Note(lines, f"One solution of {exercise.id}", solution_of(lab, exercise.id)))


def _trouble(store: Progress) -> list[str]:
    return [trouble] if (trouble := store.trouble()) else []


def following(lab: Lab, exercise: str) -> str:
    """The id of the exercise after this one in its lab; empty after the last."""
    names = [each.id for each in lab.exercises]
    place = names.index(exercise) + 1
    return names[place] if place < len(names) else ""
