"""The learner's own record: attempts, hints, predictions and times, in the user's data directory (0600).

It belongs to the person and not to a clone: a new clone, a restarted kernel and the command line see the same. The
state of an exercise is that of its last attempt: one that was passed and fails again is open again.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from labsupport import paths
from labsupport.course.store import Store
from labsupport.course.verdict import Kind, Verdict

State = Literal["not started", "seen", "not yet", "pass", "open again"]
Value = str | float  # of a prediction: one of the exercise's options, or a number in its unit
PAUSE = 30 * 60.0  # seconds: a longer gap between two things a learner does counts as this much

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempt (
    at REAL NOT NULL, exercise TEXT NOT NULL, verdict TEXT NOT NULL, diagnostic TEXT NOT NULL,
    hint_level INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS attempt_exercise ON attempt (exercise, at);
CREATE TABLE IF NOT EXISTS hint (
    exercise TEXT NOT NULL, level INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (exercise, level));
CREATE TABLE IF NOT EXISTS prediction (
    exercise TEXT PRIMARY KEY, value TEXT NOT NULL, at REAL NOT NULL, settled REAL);
CREATE TABLE IF NOT EXISTS sight (
    exercise TEXT NOT NULL, what TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (exercise, what));
"""
_VERSION = 2  # 1 had no prediction and no sight


@dataclass(frozen=True)
class Record:
    """What is known of one exercise.

    `last` is the last verdict (None before the first), `failed_in_a_row` the failed checks since the last pass,
    `diagnostic` what the last check found, `hint_level` the hints taken. Times are Unix seconds; `seconds_spent` is
    from the first sight to the first pass (or to the last thing done), long pauses left out.
    """

    exercise: str
    last: Kind | None = None
    attempts: int = 0
    failed_in_a_row: int = 0
    hint_level: int = 0
    diagnostic: str = ""
    solution_shown: bool = False
    first_seen: float | None = None
    first_passed: float | None = None
    seconds_spent: float = 0.0

    @property
    def state(self) -> State:
        """The state in words, as the progress panel shows it."""
        if self.last == "pass":
            return "pass"
        if self.first_passed is not None:
            return "open again"
        if self.last == "not_yet":
            return "not yet"
        return "seen" if self.first_seen is not None else "not started"

    def as_dict(self) -> dict[str, Any]:
        """The form for JSON (`labs progress --json`)."""
        return {**asdict(self), "state": self.state}


class Progress:
    """The store. Its calls do not fail: what is wrong with the file is told by `trouble`."""

    def __init__(self, path: Path | None = None) -> None:
        """Use the file `path`; by default the user's own."""
        self._given = path
        self._store = Store(lambda: self.path, _SCHEMA, _VERSION)

    @property
    def path(self) -> Path:
        """The file. Errors: OSError if there is no place for it."""
        return self._given or paths.data() / "progress.sqlite"

    def trouble(self) -> str:
        """What the learner should know of the file since the last question (damaged, cannot be written); or empty."""
        return self._store.trouble()

    def see(self, exercise: str, what: str = "exercise") -> None:
        """Note that the learner has got to `exercise` (or, with `what`, has been shown its solution)."""
        with_time = (exercise, what, time.time())
        self._store.do(lambda file: file.execute("INSERT OR IGNORE INTO sight VALUES (?, ?, ?)", with_time))

    def add(self, verdict: Verdict) -> None:
        """Record an attempt. One that could not be checked says nothing about the learner and is left out.

        With a pass the result has been shown, so a prediction for this exercise stays as it is from now on.
        """
        if verdict.verdict == "could_not_check":
            return
        now = time.time()
        row = (
            now,
            verdict.exercise,
            verdict.verdict,
            verdict.diagnostic,
            verdict.hint_level,
            verdict.seconds,
        )

        def work(file: sqlite3.Connection) -> None:
            file.execute("INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?)", row)
            if verdict.verdict == "pass":
                settle = "UPDATE prediction SET settled = ? WHERE exercise = ? AND settled IS NULL"
                file.execute(settle, (now, verdict.exercise))

        self._store.do(work)

    def take_hint(self, exercise: str, highest: int) -> int:
        """Go one rung up the ladder of hints and return the level reached; it stays on the highest."""

        def work(file: sqlite3.Connection) -> int:
            level = min(_hint_level(file, exercise) + 1, highest)
            file.execute("INSERT OR IGNORE INTO hint VALUES (?, ?, ?)", (exercise, level, time.time()))
            return level

        return self._store.do(work)

    def predict(self, exercise: str, value: Value) -> bool:
        """Commit a prediction, or change it. False, and nothing is changed, once its result has been shown."""

        def work(file: sqlite3.Connection) -> bool:
            changed = file.execute(
                "INSERT INTO prediction VALUES (?, ?, ?, NULL) ON CONFLICT (exercise) DO UPDATE "
                "SET value = excluded.value, at = excluded.at WHERE settled IS NULL",
                (exercise, json.dumps(value), time.time()),
            )
            return changed.rowcount > 0

        return self._store.do(work)

    def prediction(self, exercise: str) -> Value | None:
        """The prediction committed for `exercise`: a text or a number; None if there is none."""

        def work(file: sqlite3.Connection) -> Value | None:
            query = "SELECT value FROM prediction WHERE exercise = ?"
            row = file.execute(query, (exercise,)).fetchone()
            value: Value | None = json.loads(row[0]) if row else None
            return value

        return self._store.do(work)

    def forget_predictions(self, exercises: Iterable[str]) -> None:
        """Drop the predictions for these exercises: their lab begins anew."""
        rows = [(exercise,) for exercise in exercises]
        self._store.do(lambda file: file.executemany("DELETE FROM prediction WHERE exercise = ?", rows))

    def record(self, exercise: str) -> Record:
        """What is known of `exercise`."""
        return self._store.do(lambda file: _record(file, exercise))

    def records(self, exercises: Iterable[str]) -> dict[str, Record]:
        """What is known of each of these exercises, at one moment."""
        return self._store.do(lambda file: {exercise: _record(file, exercise) for exercise in exercises})


def _record(file: sqlite3.Connection, exercise: str) -> Record:
    attempts = file.execute(
        "SELECT at, verdict, diagnostic FROM attempt WHERE exercise = ? ORDER BY at DESC, rowid DESC",
        (exercise,),
    ).fetchall()
    sights = dict(file.execute("SELECT what, at FROM sight WHERE exercise = ?", (exercise,)).fetchall())
    others = [at for what, at in sights.items()]
    for table in ("hint", "prediction"):
        others += [row[0] for row in file.execute(f"SELECT at FROM {table} WHERE exercise = ?", (exercise,))]
    verdicts = [verdict for _, verdict, _ in attempts]
    passes = [at for at, verdict, _ in attempts if verdict == "pass"]
    moments = sorted([at for at, _, _ in attempts] + others)
    first_passed = min(passes, default=None)
    return Record(
        exercise,
        last=verdicts[0] if verdicts else None,
        attempts=len(verdicts),
        failed_in_a_row=verdicts.index("pass") if "pass" in verdicts else len(verdicts),
        hint_level=_hint_level(file, exercise),
        diagnostic=attempts[0][2] if attempts else "",
        solution_shown="solution" in sights,
        first_seen=moments[0] if moments else None,
        first_passed=first_passed,
        seconds_spent=time_spent(moments, first_passed),
    )


def _hint_level(file: sqlite3.Connection, exercise: str) -> int:
    row = file.execute("SELECT max(level) FROM hint WHERE exercise = ?", (exercise,)).fetchone()
    return int(row[0] or 0)


def time_spent(moments: Iterable[float], until: float | None) -> float:
    """Seconds between the first and the last of `moments`, or those up to `until`; each gap counts `PAUSE` at most,
    since a learner who comes back the next day has not worked through the night.
    """
    counted = sorted(moment for moment in moments if until is None or moment <= until)
    return round(sum(min(later - earlier, PAUSE) for earlier, later in pairwise(counted)), 1)
