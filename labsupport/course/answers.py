"""Answers from a file, for those who work without a notebook: `labs check EXERCISE --file answer.py`."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labsupport.course.context import Context
from labsupport.course.manifest import find_exercise
from labsupport.course.source import cell_file, run_cell
from labsupport.errors import LabsError


def from_file(file: Path, exercise: str) -> Context:
    """A session whose names are those that `file` defines, run as one cell with `lab` open at the exercise's lab.

    Errors: LabsError if the file cannot be read, or raises: with the line that did.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LabsError(f"{file} cannot be read: {error}") from error
    names: dict[str, Any] = {}
    names["lab"] = context = Context(names)
    context.opened(find_exercise(exercise)[0])
    _told(file, text, lambda: run_cell(text, names, file.name))
    return context


def _told(file: Path, text: str, run: Callable[[], None]) -> None:
    try:
        run()
    except SyntaxError as error:
        raise LabsError(f"{file}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}") from error
    except LabsError:
        raise
    except Exception as error:
        own = cell_file(text, file.name)
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
        where = f", line {lines[-1].lineno} (`{(lines[-1].line or '').strip()}`)" if lines else ""
        raise LabsError(f"{file}{where}: {type(error).__name__}: {error}") from error
