"""From labs/source/<lab>/lab.py to two notebooks: the learner's, with gaps, and the solution's.

The source is a jupytext "percent" file. What an author marks, beyond that format:

- `# %% exercise="00-expose"` on the code cells that hold an answer;
- in such a cell, lines between `### BEGIN SOLUTION` and `### END SOLUTION` are left out for learners; text
after `BEGIN SOLUTION:` stands in their place (default `# YOUR CODE HERE`);
- `tags=["solution"]` on cells that only the solution notebook has;
- `tags=["learner-raises"]` on cells that cannot run before they are answered.

Equal sources give equal bytes: outputs are never kept, and a cell's id depends on nothing but its own source.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsupport.course import durations
from labsupport.course.manifest import Exercise, Lab, labs
from labsupport.errors import LabsError
from labsupport.paths import LABS, REPOSITORY

_BEGIN = re.compile(r"^(?P<indent>\s*)### BEGIN SOLUTION(?::\s*(?P<stub>.*))?$")
_END = re.compile(r"^\s*### END SOLUTION\s*$")
STUB = "# YOUR CODE HERE"


@dataclass(frozen=True)
class Cell:
    """One cell of a source."""

    type: str  # code or markdown
    source: str
    tags: tuple[str, ...]
    exercise: str


def cells(lab: Lab) -> list[Cell]:
    """The cells of a lab's source. Errors: LabsError if it cannot be read."""
    import jupytext  # takes a second to import

    path = lab.directory / "lab.py"
    try:
        notebook = jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")
    except (OSError, ValueError) as error:
        raise LabsError(f"{path} cannot be read: {error}") from error
    return [
        Cell(
            cell.cell_type,
            cell.source,
            tuple(cell.metadata.get("tags", ())),
            cell.metadata.get("exercise", ""),
        )
        for cell in notebook.cells
    ]


def gap(source: str) -> str:
    """The learner's form of a cell: each solution replaced by its stub. Errors: LabsError on unpaired
    markers.
    """
    lines: list[str] = []
    inside = False
    for line in source.split("\n"):
        if begin := _BEGIN.match(line):
            if inside:
                raise LabsError("A solution begins inside another.")
            inside = True
            lines.append(begin["indent"] + (begin["stub"] or STUB))
        elif _END.match(line):
            if not inside:
                raise LabsError("A solution ends that has not begun.")
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise LabsError("A solution begins and does not end.")
    return "\n".join(lines)


def filled(source: str) -> str:
    """The solution's form of a cell: the markers are left out."""
    return "\n".join(line for line in source.split("\n") if not _BEGIN.match(line) and not _END.match(line))


def solution_of(lab: Lab, exercise: str) -> str:
    """The reference solution: the source of the answer cells of `exercise`, as the solution notebook has
    them.
    """
    answers = [cell for cell in cells(lab) if cell.exercise == exercise and cell.type == "code"]
    if not answers:
        raise LabsError(f"{lab.directory / 'lab.py'} has no cell for the exercise {exercise}.")
    return "\n\n".join(filled(cell.source) for cell in answers)


def solution_lines(lab: Lab, exercise: str) -> frozenset[int]:
    """Which lines of `solution_of` (from 1) a learner does not get."""
    own: list[bool] = []
    for cell in cells(lab):
        if cell.exercise != exercise or cell.type != "code":
            continue
        if own:
            own.append(False)  # the line between two cells
        inside = False
        for line in cell.source.split("\n"):
            if _BEGIN.match(line) or _END.match(line):
                inside = not inside
            else:
                own.append(inside)
    return frozenset(number for number, mine in enumerate(own, 1) if mine)


def telling_lines(lab: Lab, exercise: Exercise) -> list[str]:
    """The lines of the solution that give something away: a line of one word, such as `spec:`, is vocabulary."""
    given = {line.strip() for line in shipped_of(lab, exercise.id).split("\n")}
    solution = {line.strip() for line in solution_of(lab, exercise.id).split("\n")}
    return sorted(line for line in solution - given if len(line.split()) > 1)


def shipped_of(lab: Lab, exercise: str) -> str:
    """What a learner finds in the answer cells of `exercise`."""
    return "\n\n".join(
        gap(cell.source) for cell in cells(lab) if cell.exercise == exercise and cell.type == "code"
    )


def generate(lab: Lab, *, solution: bool) -> str:
    """One notebook of a lab, as the text of its file (nbformat 4.5)."""
    source = cells(lab)
    unknown = {cell.exercise for cell in source if cell.exercise} - {each.id for each in lab.exercises}
    if unknown:
        raise LabsError(
            f"{lab.directory / 'lab.py'} answers exercises that lab.toml lacks: {sorted(unknown)}"
        )
    read = [gap(cell.source) for cell in source if "solution" not in cell.tags]
    seen: Counter[str] = Counter()
    generated: list[dict[str, Any]] = []
    for cell in source:
        digest = hashlib.sha256(f"{lab.id}\n{cell.type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] += 1
        identifier = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if "solution" in cell.tags and not solution:
            continue
        metadata: dict[str, Any] = {}
        if "learner-raises" in cell.tags and not solution:
            metadata["tags"] = ["raises-exception"]
        text = filled(cell.source) if solution else gap(cell.source)
        if not generated:
            text = _with_estimate(text, durations.estimate(lab, read))
        entry: dict[str, Any] = {
            "cell_type": cell.type,
            "id": identifier,
            "metadata": metadata,
            "source": text.splitlines(keepends=True),
        }
        if cell.type == "code":
            entry |= {"execution_count": None, "outputs": []}
        generated.append(entry)
    content = hashlib.sha256(json.dumps(generated, sort_keys=True).encode()).hexdigest()[:16]
    notebook = {
        "cells": generated,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "labs": {"lab": lab.id, "version": content},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _with_estimate(head: str, estimate: str) -> str:
    """The first cell with the lab's duration below its title."""
    title, line, rest = head.partition("\n")
    if not estimate or not title.startswith("# "):
        return head
    return f"{title}\n\n*{estimate[0].upper()}{estimate[1:]}.*{line}{rest}"


def outputs(lab: Lab) -> Iterator[tuple[Path, str]]:
    """The files that a lab's source stands for, with their content."""
    yield LABS / f"{lab.notebook}.ipynb", generate(lab, solution=False)
    yield LABS / "solutions" / f"{lab.notebook}.ipynb", generate(lab, solution=True)


def build(chosen: Iterable[Lab] | None = None, *, check: bool = False) -> list[Path]:
    """Write the notebooks of the `chosen` labs (default: all) and return those that were out of date; with `check`,
    write nothing.

    Errors: with `check`, LabsError if any is out of date or, of all labs, a notebook has no source.
    """
    everything = chosen is None
    wanted = {path: text for lab in (labs() if chosen is None else chosen) for path, text in outputs(lab)}
    stale = [
        path
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    if check:
        orphans = [
            path
            for path in LABS.rglob("*.ipynb")
            if everything and path not in wanted and ".ipynb_checkpoints" not in path.parts
        ]
        if stale or orphans:
            names = ", ".join(str(path.relative_to(REPOSITORY)) for path in [*stale, *orphans])
            raise LabsError(f"These notebooks are not what their sources give: {names}", fix="labs build")
    else:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
    return stale


def require_durations(chosen: Iterable[Lab] | None = None) -> None:
    """Errors: LabsError names the labs whose duration was never recorded, so that no learner is told it."""
    missing = [lab.id for lab in (labs() if chosen is None else chosen) if lab.seconds is None]
    if missing:
        raise LabsError(
            f"Nobody has measured how long {', '.join(missing)} takes: `seconds` is missing in lab.toml.",
            fix=f"labs content {missing[0]} --record, then labs build",
        )
