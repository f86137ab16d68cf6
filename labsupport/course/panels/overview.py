"""Where a learner stands, lab by lab: data, and its text, HTML and dictionary forms."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from labsupport.course import durations
from labsupport.course.manifest import Exercise, Lab
from labsupport.course.progress import Progress, Record, State
from labsupport.draw import theme
from labsupport.draw.theme import escape
from labsupport.paths import LABS

# In words, as the colours of a list are not seen by everybody.
STATES: dict[State, str] = {
    "not started": "Not started",
    "seen": "Begun",
    "not yet": "Not yet",
    "pass": "Pass",
    "open again": "Open again",
}
_BAR = 10  # characters of a bar in text


@dataclass(frozen=True)
class LabOverview:
    """One lab with what is recorded of its exercises."""

    lab: Lab
    records: tuple[tuple[Exercise, Record], ...]
    minutes: float  # for the whole lab

    @property
    def solved(self) -> int:
        """How many exercises are solved now."""
        return sum(record.last == "pass" for _, record in self.records)

    @property
    def minutes_left(self) -> int:
        """The lab's estimate in minutes, as far as it belongs to exercises that are not solved."""
        everything = sum(exercise.minutes for exercise, _ in self.records)
        left = sum(exercise.minutes for exercise, record in self.records if record.last != "pass")
        return round(self.minutes * left / everything) if everything else 0

    @property
    def begun(self) -> bool:
        """Whether the learner has done anything here."""
        return any(record.state != "not started" for _, record in self.records)

    @property
    def words(self) -> str:
        """The bar in words."""
        text = f"{self.solved} of {len(self.records)} solved"
        return text + (f", about {self.minutes_left} min left" if self.minutes_left else "")


@dataclass(frozen=True)
class Overview:
    """All labs; `trouble` is what the learner should know of the record itself."""

    labs: tuple[LabOverview, ...]
    trouble: str = ""

    @property
    def words(self) -> str:
        """The whole course in a line."""
        solved, total = sum(lab.solved for lab in self.labs), sum(len(lab.records) for lab in self.labs)
        left = sum(lab.minutes_left for lab in self.labs)
        return f"{solved} of {total} exercises solved" + (
            f", about {duration(left * 60)} left" if left else ""
        )

    def __str__(self) -> str:
        """The text form."""
        rows = [[_row(exercise, record) for exercise, record in lab.records] for lab in self.labs]
        cells = [row for lab in rows for row in lab]
        widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(_COLUMNS))]
        lines = [f"Your progress: {self.words}", *([self.trouble] if self.trouble else [])]
        for lab, lab_rows in zip(self.labs, rows, strict=True):
            done = _BAR * lab.solved // len(lab.records) if lab.records else 0
            lines.append(
                f"[{'#' * done}{'.' * (_BAR - done)}] {lab.lab.id.upper()} {lab.lab.title}: {lab.words}"
            )
            for row in lab_rows:
                cells_in_line = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
                lines.append("    " + "  ".join(cells_in_line).rstrip())
        return "\n".join(lines)

    def html(self) -> str:
        """The HTML form: a bar and a table for each lab; those begun and not finished are unfolded."""
        trouble = f'<p style="margin:4px 0">{escape(self.trouble)}</p>' if self.trouble else ""
        return (
            f'<div class="labs-progress" style="color:{theme.TEXT};font-family:{theme.FONT};line-height:1.45;'
            f'max-width:860px"><strong>Your progress: {escape(self.words)}</strong>{trouble}'
            + "".join(_lab_html(lab) for lab in self.labs)
            + "</div>"
        )

    def as_dict(self) -> dict[str, Any]:
        """The form for JSON (`labs progress --json`)."""
        return {
            "exercises": [
                {"lab": lab.lab.id, "title": exercise.title, "minutes": exercise.minutes, **record.as_dict()}
                for lab in self.labs
                for exercise, record in lab.records
            ],
            "labs": [
                {
                    "id": lab.lab.id,
                    "title": lab.lab.title,
                    "solved": lab.solved,
                    "exercises": len(lab.records),
                    "minutes_left": lab.minutes_left,
                }
                for lab in self.labs
            ],
            "trouble": self.trouble,
        }


_COLUMNS = ("Exercise", "State", "Checks", "Hints", "Time", "Title")


def overview(labs: Iterable[Lab], store: Progress) -> Overview:
    """What `store` knows of these labs, at one moment."""
    chosen = tuple(labs)
    records = store.records(exercise.id for lab in chosen for exercise in lab.exercises)
    return Overview(
        tuple(
            LabOverview(lab, tuple((each, records[each.id]) for each in lab.exercises), estimate(lab))
            for lab in chosen
        ),
        store.trouble(),
    )


def estimate(lab: Lab) -> float:
    """Minutes for a whole lab: as its notebook says, or without the reading where that cannot be told yet."""
    try:
        cells = json.loads((LABS / f"{lab.notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
        exact = durations.minutes(lab, ("".join(cell["source"]) for cell in cells))
    except (OSError, ValueError, KeyError, TypeError):
        exact = None
    return exact or lab.minutes + sum(exercise.minutes for exercise in lab.exercises)


def duration(seconds: float) -> str:
    """A duration as people say it, in minutes or hours."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than 1 min"
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if minutes < 90 else f"{hours} h {rest} min" if rest else f"{hours} h"


def _row(exercise: Exercise, record: Record) -> tuple[str, ...]:
    return (
        exercise.id,
        STATES[record.state],
        _count(record.attempts, "check"),
        f"{_count(record.hint_level, 'hint')}" + (" and solution" if record.solution_shown else ""),
        duration(record.seconds_spent) if record.attempts else "-",
        exercise.title,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}" if number else "-"


def _lab_html(lab: LabOverview) -> str:
    cell = f"padding:3px 12px 3px 0;text-align:left;border-bottom:1px solid {theme.RULE};vertical-align:top"
    head = "".join(f'<th scope="col" style="{cell}">{name}</th>' for name in _COLUMNS)
    body = "".join(
        "<tr>"
        + "".join(f'<td style="{cell}">{escape(value)}</td>' for value in _row(exercise, record))
        + "</tr>"
        for exercise, record in lab.records
    )
    share = lab.solved / len(lab.records) if lab.records else 0.0
    bar = (
        f'<span aria-hidden="true" style="display:inline-block;width:120px;height:10px;border-radius:5px;'
        f'border:1px solid {theme.MUTED};overflow:hidden;margin-right:10px;vertical-align:middle">'
        f'<span style="display:block;height:100%;width:{share:.0%};background:{theme.GOOD}"></span></span>'
    )
    unfolded = " open" if lab.begun and lab.solved < len(lab.records) else ""
    return (
        f'<details{unfolded} style="margin:6px 0"><summary style="cursor:pointer;padding:2px 0">{bar}'
        f"<strong>{escape(lab.lab.id.upper())} {escape(lab.lab.title)}</strong>: {escape(lab.words)}</summary>"
        f'<table style="border-collapse:collapse;margin:4px 0 4px 18px;font-size:0.95em;color:{theme.TEXT}"><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></details>"
    )
