"""What a lab is, as its author writes it down: labs/source/<lab>/lab.toml, and where its parts lie."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
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
# How many of each kind an exercise keeps at least; kinds that are not here do not belong to the form.
REQUIRED_WRONG: dict[Form, dict[WrongKind, int]] = {
    "apply": {"slip": 1, "place": 1, "nothing": 1, "own": 1},
    "code": {"slip": 1, "visible": 1, "nothing": 1, "own": 1},
    "find": {"culprit": 2, "symptom": 1, "own": 1},
    "break": {"looks-recovered": 1, "slip": 1, "own": 1},
    "predict": {},
}
# Findings that any exercise may have: the engine makes them, so they carry no exercise's id.
GENERIC = frozenset(
    {
        *("name-missing", "wrong-type", "wrong-parameters", "raised", "endless", "unportable"),
        *("wrong-context", "not-deployed"),
    }
)


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
    """One lab. `notebook` is the path of its notebooks under labs/ and labs/solutions/, without the suffix.

    `minutes` are the author's for what is no exercise, such as playing with a picture. `seconds` are those that the
    whole solution notebook took when it was last measured (`labs content --record`). `leaves` are the objects ("Kind
    name") that the notebook's demonstrations leave or change, and that no exercise looks at. `mesh`: whether the lab
    needs the mesh on the cluster ("installed"), and its own namespace in it as well ("joined"). `quorum`: whether it
    needs the Quorum operator on the cluster ("installed").
    """

    id: str
    title: str
    notebook: str
    minutes: float = Field(default=0, ge=0)
    seconds: float | None = Field(default=None, gt=0)
    start: tuple[str, ...] = ()
    mesh: Literal["none", "installed", "joined"] = "none"
    quorum: Literal["none", "installed"] = "none"
    leaves: tuple[str, ...] = ()
    exercises: tuple[Exercise, ...]
    directory: Path = Field(default=Path(), exclude=True)

    @property
    def checks(self) -> Path:
        """The file that says which checks there are: checks/__init__.py where they have grown to a package, else
        checks.py.
        """
        package = self.directory / "checks" / "__init__.py"
        return package if package.is_file() else self.directory / "checks.py"

    @property
    def checks_files(self) -> tuple[Path, ...]:
        """All files of the checks."""
        first = self.checks
        return tuple(sorted(first.parent.glob("*.py"))) if first.name == "__init__.py" else (first,)

    def exercise(self, identifier: str) -> Exercise:
        """The exercise of that id. Errors: LabsError lists those there are."""
        for exercise in self.exercises:
            if exercise.id == identifier:
                return exercise
        names = ", ".join(exercise.id for exercise in self.exercises)
        raise LabsError(f"Lab {self.id} has no exercise {identifier!r}.", fix=f"one of: {names}")

    def exercises_from(self, identifier: str) -> tuple[Exercise, ...]:
        """The exercise of that id and those after it; all with "". Errors: LabsError lists those there are."""
        first = self.exercise(identifier) if identifier else self.exercises[0]
        return self.exercises[self.exercises.index(first) :]


def read(directory: Path) -> Lab:
    """The lab in `directory`. Errors: LabsError names the file and each fault in it."""
    path = directory / "lab.toml"
    try:
        lab = Lab.model_validate({**tomllib.loads(path.read_text(encoding="utf-8")), "directory": directory})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabsError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        misfits = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        raise LabsError(f"{path}: {misfits}") from error
    if wrong := list(faults(lab)):
        raise LabsError(f"{path}: {'; '.join(wrong)}")
    return lab


def faults(lab: Lab) -> Iterator[str]:
    """What is wrong with a lab that is well-formed: ids, kinds of wrong answers, predictions (labs/README.md)."""
    for identifier, times in Counter(exercise.id for exercise in lab.exercises).items():
        if times > 1:
            yield f"the exercise {identifier} is there {times} times"
        if not identifier.startswith(f"{lab.id}-"):
            yield f"the id {identifier!r} does not begin with the lab's id and a dash"
    for exercise in lab.exercises:
        yield from (f"{exercise.id}: {fault}" for fault in _faults(exercise))


def _faults(exercise: Exercise) -> Iterator[str]:
    wanted = REQUIRED_WRONG[exercise.form]
    kinds = Counter(wrong.kind for wrong in exercise.wrong)
    for kind, least in wanted.items():
        if kinds[kind] < least:
            have = f", here are {kinds[kind]}" if kinds[kind] else ", here is none"
            yield f"an exercise of the form {exercise.form!r} needs {least} wrong answer(s) of the kind {kind!r}{have}"
    if exercise.form == "predict" and exercise.wrong:
        yield "an exercise of the form 'predict' has no wrong answers: whatever was predicted, it passes"
    else:
        for kind in sorted(set(kinds) - set(wanted)):
            yield f"wrong answers of the kind {kind!r} do not belong to the form {exercise.form!r}"
    if exercise.form == "predict" and exercise.predict is None:
        yield "an exercise of the form 'predict' needs `predict`: options to choose from, or the unit of a number"
    if exercise.predict and bool(exercise.predict.options) == bool(exercise.predict.unit):
        yield "`predict` has either options or a unit"
    if exercise.predict and len(exercise.predict.options) == 1:
        yield "`predict` offers one option, which leaves nothing to predict"
    files = [*exercise.second, *(wrong.file for wrong in exercise.wrong)]
    for file in files:
        if not file.endswith((".yaml", ".py")):
            yield f"{file} is neither YAML (.yaml) nor Python (.py)"
    for wrong in exercise.wrong:
        if wrong.elsewhere and not wrong.file.endswith(".yaml"):
            yield f"{wrong.file} is Python, which chooses its namespace itself: `elsewhere` is for YAML"
        if wrong.diagnostic not in GENERIC and not wrong.diagnostic.startswith(f"{exercise.id}/"):
            yield f"the diagnostic {wrong.diagnostic!r} neither begins with {exercise.id}/ nor is one of the engine's"
    what = (("file", files), ("equivalent mutant", [each.mutant for each in exercise.equivalent]))
    for word, names in what:
        yield from (f"the {word} {name!r} is there {n} times" for name, n in Counter(names).items() if n > 1)


@cache
def _read_all() -> tuple[tuple[Lab, ...], tuple[LabsError, ...]]:
    """The labs that can be read, by directory name, and the faults of the others."""
    found: list[Lab] = []
    unreadable = []
    for path in sorted(SOURCE.glob("*/lab.toml")):
        try:
            lab = read(path.parent)
            if twin := next((each for each in found if each.id.lower() == lab.id.lower()), None):
                raise LabsError(f"{path}: the id {lab.id!r} is that of {twin.directory.name} too.")
        except LabsError as error:
            unreadable.append(error)
        else:
            found.append(lab)
    return tuple(found), tuple(unreadable)


def labs() -> tuple[Lab, ...]:
    """All labs of the course, by directory name. Errors: LabsError if one of them cannot be read."""
    found, unreadable = _read_all()
    if unreadable:
        raise LabsError(" ".join(error.what for error in unreadable))
    return found


@cache
def identifiers() -> frozenset[str]:
    """The ids of all labs in lower case, also of those with a fault: what they made is still theirs."""
    found = set()
    for path in SOURCE.glob("*/lab.toml"):
        try:
            found.add(str(tomllib.loads(path.read_text(encoding="utf-8"))["id"]).lower())
        except (OSError, tomllib.TOMLDecodeError, KeyError):
            continue
    return frozenset(found)


def readable() -> tuple[Lab, ...]:
    """The labs that can be read, for those who only look; a fault in one of the others does no harm."""
    return _read_all()[0]


def find_lab(identifier: str) -> Lab:
    """The lab of that id, whatever its case; that another lab has a fault does no harm.

    Errors: LabsError lists those there are.
    """
    for lab in _read_all()[0]:
        if lab.id.lower() == identifier.lower():
            return lab
    raise LabsError(f"There is no lab {identifier!r}.", fix=f"one of: {', '.join(lab.id for lab in labs())}")


def find_exercise(identifier: str) -> tuple[Lab, Exercise]:
    """The exercise of that id with its lab. Errors: LabsError lists those there are."""
    for lab in _read_all()[0]:
        for exercise in lab.exercises:
            if exercise.id == identifier:
                return lab, exercise
    names = ", ".join(exercise.id for lab in labs() for exercise in lab.exercises)
    raise LabsError(f"There is no exercise {identifier!r}.", fix=f"one of: {names}")
