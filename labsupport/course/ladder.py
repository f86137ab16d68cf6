"""The rules of help: what is offered after how many failed checks, and when the solution opens.

Help is offered, never forced: hints come one at a time and on request, and the solution does not ask for hints first.
"""

from __future__ import annotations

from dataclasses import replace

from labsupport.course.progress import Progress, Record
from labsupport.course.verdict import Verdict

FAILURES_BEFORE_HINT = 2
FAILURES_BEFORE_SOLUTION = 3


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
