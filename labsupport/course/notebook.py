"""The learner's own copies of the notebooks, under work/: made on first opening, never overwritten."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from labsupport.course.manifest import Lab
from labsupport.errors import LabsError
from labsupport.paths import LABS, REPOSITORY

WORK = REPOSITORY / "work"


@dataclass(frozen=True)
class Copy:
    """A learner's copy: where it is, whether it was made just now, and what the learner should know about
    it.
    """

    path: Path
    made: bool
    message: str


def open_copy(lab: Lab, *, fresh: bool = False, work: Path = WORK, shipped: Path = LABS) -> Copy:
    """The learner's copy of a lab's notebook; with `fresh`, a new one beside those there are.

    Errors: LabsError if the lab's notebook has not been generated.
    """
    source = shipped / f"{lab.notebook}.ipynb"
    if not source.is_file():
        raise LabsError(f"There is no notebook {source}.", fix="labs build")
    first = work / f"{lab.notebook}.ipynb"
    if not first.exists():
        return _copy(source, first, f"Your copy is {_name(first)}; it is yours, no update will change it.")
    if fresh:
        number = 2
        while (path := first.with_name(f"{first.stem}-{number}.ipynb")).exists():
            number += 1
        return _copy(source, path, f"A fresh copy is {_name(path)}; {first.name} is as you left it.")
    if _version(first) != _version(source):
        message = (
            f"{_name(first)} is as you left it. A newer version of this lab has been shipped: "
            f"`labs notebook {lab.id} --fresh` puts it beside yours."
        )
        return Copy(first, False, message)
    return Copy(first, False, f"{_name(first)} is as you left it.")


def _copy(source: Path, target: Path, message: str) -> Copy:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written aside and linked into place: a half-written copy would never be repaired, since copies are
    # left alone.
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.write_bytes(source.read_bytes())
    try:
        os.link(temporary, target)  # fails where a copy has come up meanwhile; rename would replace it
    except FileExistsError:
        return Copy(target, False, f"{_name(target)} is as you left it.")
    finally:
        temporary.unlink()
    return Copy(target, True, message)


def _version(path: Path) -> str:
    """The version of the lab that a notebook was made from; "" where the learner's editing has removed it."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["labs"]["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY)) if path.is_relative_to(REPOSITORY) else str(path)
