"""Predictions: what a learner may commit, read with patience, and said back in words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from labsupport.course.manifest import Exercise, Prediction
from labsupport.course.progress import Progress, Value
from labsupport.course.views import Note

_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Commitment:
    """What became of a prediction: whether this one was committed, the one that now stands, and what to tell."""

    committed: bool
    value: Value | None
    note: Note


class Unusable(ValueError):
    """What was given cannot be a prediction for this exercise; the text says what can."""


def commit(exercise: Exercise, given: object, store: Progress) -> Commitment:
    """Commit `given` for `exercise`; what cannot be used leaves an earlier prediction as it is."""
    if exercise.predict is None:
        text = f"{exercise.id} asks for no prediction; there is nothing to commit."
        return Commitment(False, None, Note(text))
    before = store.prediction(exercise.id)
    kept = "" if before is None else f" `{words(exercise.predict, before)}` stays committed."
    try:
        value = read(exercise.predict, given)
    except Unusable as error:
        return Commitment(False, before, Note(f"{error}{kept}", f"Nothing was committed for {exercise.id}"))
    if not store.predict(exercise.id, value):
        text = f"Its check has shown the result already; a new start of the lab opens it again.{kept}"
        return Commitment(False, before, Note(text, f"The prediction for {exercise.id} is settled"))
    text = "You may change it until the check has shown what happens."
    title = f"Committed for {exercise.id}: {words(exercise.predict, value)}"
    return Commitment(True, value, Note(" ".join(part for part in (text, store.trouble()) if part), title))


def read(asked: Prediction, given: object) -> Value:
    """The prediction that `given` stands for: one of the options whatever its case, or a number, with or without unit.

    Errors: Unusable with what the exercise asks for.
    """
    if given is None or given is ...:
        raise Unusable(f"There is no prediction yet. {wanted(asked)}")
    if asked.options:
        folded = " ".join(str(given).split()).casefold()
        for option in asked.options:
            if " ".join(option.split()).casefold() == folded:
                return option
        raise Unusable(f"{given!r} is not one of the answers to choose from. {wanted(asked)}")
    number = _number(asked.unit, given)
    if number is None or not math.isfinite(number):
        raise Unusable(f"{given!r} is not a number of {asked.unit or 'things'}. {wanted(asked)}")
    return number


def _number(unit: str, given: object) -> float | None:
    if isinstance(given, bool):
        return None
    if isinstance(given, str):
        match = _NUMBER.fullmatch(given)
        if match is None or match[2].casefold() not in ("", unit.casefold()):
            return None
        return float(match[1])
    try:
        return float(given)  # type: ignore[arg-type]  # also a number of numpy or a Decimal
    except (TypeError, ValueError, OverflowError):
        return None


def wanted(asked: Prediction) -> str:
    """What may be predicted, in a sentence."""
    if asked.options:
        return "Choose one of: " + ", ".join(f'`"{option}"`' for option in asked.options) + "."
    return f"Give a number{f' ({asked.unit})' if asked.unit else ''}."


def words(asked: Prediction, value: Value) -> str:
    """A prediction as it is said back to the learner."""
    if isinstance(value, str):
        return value
    return f"{value:.10g} {asked.unit}".strip()
