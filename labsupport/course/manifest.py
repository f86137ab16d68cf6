"""What a lab is, as its author writes it down: labs/source/<lab>/lab.toml, and where its parts lie."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labsupport.errors import LabsError
from labsupport.paths import LABS

SOURCE = LABS / "source"
Form = Literal["apply", "code", "predict", "find", "break"]
# What each kind of wrong answer stands for, by form of exercise (labs/README.md).
WrongKind = Literal["slip", "place", "nothing", "visible", "culprit", "symptom", "looks-recovered", "own"]


class Strict(BaseModel):
    """A misspelt key is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WrongAnswer(Strict):
    """A wrong answer that is kept: the file under wrong/<exercise>/ and the diagnostic it must produce."""

    file: str
    kind: WrongKind
    diagnostic: str
    elsewhere: bool = False  # applied in another namespace than the lab's


class Prediction(Strict):
    """What a learner may predict: one of `options`, or a number in `unit`."""

    options: tuple[str, ...] = ()
    unit: str = ""


class Mutant(Strict):
    """A mutant of the solution that is as good as the solution, and why."""

    mutant: str
    reason: str


class Exercise(Strict):
    """One exercise. `needs` are the manifests (under the lab's directory) that the notebook's cells before it apply.

    `second` and `wrong` name files under solutions/<id>/ and wrong/<id>/: YAML is applied, Python is run as an
    answer cell would be. `breaks`: the check itself makes failures happen.
    """

    id: str
    title: str
    form: Form
    minutes: float = Field(gt=0)
    expected: str
    hints: tuple[str, str, str]
    explanation: str
    needs: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    wrong: tuple[WrongAnswer, ...] = ()
    breaks: bool = False
    predict: Prediction | None = None
    equivalent: tuple[Mutant, ...] = ()


class Lab(Strict):
    """One lab. `notebook` is the path of its notebooks under labs/ and labs/solutions/, without the suffix."""

    id: str
    title: str
    notebook: str
    minutes: int = Field(gt=0)
    start: tuple[str, ...] = ()
    exercises: tuple[Exercise, ...]
    directory: Path = Field(default=Path(), exclude=True)

    def exercise(self, identifier: str) -> Exercise:
        """The exercise of that id. Errors: LabsError lists those there are."""
        for exercise in self.exercises:
            if exercise.id == identifier:
                return exercise
        names = ", ".join(exercise.id for exercise in self.exercises)
        raise LabsError(f"Lab {self.id} has no exercise {identifier!r}.", fix=f"one of: {names}")


def read(directory: Path) -> Lab:
    """The lab in `directory`. Errors: LabsError names the file and each fault in it."""
    path = directory / "lab.toml"
    try:
        lab = Lab.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "directory": directory})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabsError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise LabsError(f"{path}: {faults}") from error
    for exercise in lab.exercises:
        if not exercise.id.startswith(f"{lab.id}-"):
            raise LabsError(f"{path}: the id {exercise.id!r} does not begin with the lab's id and a dash.")
    return lab


@cache
def labs() -> tuple[Lab, ...]:
    """All labs of the course, by directory name."""
    return tuple(read(path.parent) for path in sorted(SOURCE.glob("*/lab.toml")))


def find_lab(identifier: str) -> Lab:
    """The lab of that id, whatever its case. Errors: LabsError lists those there are."""
    for lab in labs():
        if lab.id.lower() == identifier.lower():
            return lab
    raise LabsError(f"There is no lab {identifier!r}.", fix=f"one of: {', '.join(lab.id for lab in labs())}")


def find_exercise(identifier: str) -> tuple[Lab, Exercise]:
    """The exercise of that id with its lab. Errors: LabsError lists those there are."""
    for lab in labs():
        for exercise in lab.exercises:
            if exercise.id == identifier:
                return lab, exercise
    names = ", ".join(exercise.id for lab in labs() for exercise in lab.exercises)
    raise LabsError(f"There is no exercise {identifier!r}.", fix=f"one of: {names}")
