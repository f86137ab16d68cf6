"""The learner's own record: every attempt and hint, in SQLite in the user's data directory (0600).

Write-ahead logging (sqlite.org/wal.html) lets several notebooks write at once and survives a crash. The
state of an exercise is that of its last attempt: one that was passed and fails again is open again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labsupport import paths
from labsupport.course.verdict import Kind, Verdict

_SCHEMA = """
CREATE TABLE IF NOT EXISTS attempt (
    at REAL NOT NULL, exercise TEXT NOT NULL, verdict TEXT NOT NULL, diagnostic TEXT NOT NULL,
    hint_level INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS attempt_exercise ON attempt (exercise, at);
CREATE TABLE IF NOT EXISTS hint (
    exercise TEXT NOT NULL, level INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (exercise, level));
"""


@dataclass(frozen=True)
class Record:
    """What is known of one exercise: the last verdict (None before the first), attempts, failures in a row,
    hints.
    """

    exercise: str
    last: Kind | None
    attempts: int
    failed_in_a_row: int
    hint_level: int


class Progress:
    """The store. Each call opens and closes it: no connection is held between a learner's actions."""

    def __init__(self, path: Path | None = None) -> None:
        """Use the file `path`; by default the user's own."""
        self.path = path or paths.data() / "progress.sqlite"

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        # SQLite makes its side files with the mode of the main one.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(self.path, timeout=5)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.executescript(_SCHEMA)
            with connection:
                yield connection
        finally:
            connection.close()

    def add(self, verdict: Verdict) -> None:
        """Record an attempt. One that could not be checked says nothing about the learner and is left out."""
        if verdict.verdict == "could_not_check":
            return
        with self._open() as connection:
            connection.execute(
                "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?)",
                (
                    time.time(),
                    verdict.exercise,
                    verdict.verdict,
                    verdict.diagnostic,
                    verdict.hint_level,
                    verdict.seconds,
                ),
            )

    def take_hint(self, exercise: str, highest: int) -> int:
        """Go one rung up the ladder of hints and return the level reached; it stays on the highest."""
        with self._open() as connection:
            row = connection.execute("SELECT max(level) FROM hint WHERE exercise = ?", (exercise,)).fetchone()
            level = min((row[0] or 0) + 1, highest)
            connection.execute("INSERT OR IGNORE INTO hint VALUES (?, ?, ?)", (exercise, level, time.time()))
        return level

    def record(self, exercise: str) -> Record:
        """What is known of `exercise`."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT verdict FROM attempt WHERE exercise = ? ORDER BY at DESC, rowid DESC", (exercise,)
            ).fetchall()
            level = connection.execute(
                "SELECT max(level) FROM hint WHERE exercise = ?", (exercise,)
            ).fetchone()[0]
        verdicts = [row[0] for row in rows]
        failed = next((count for count, verdict in enumerate(verdicts) if verdict == "pass"), len(verdicts))
        return Record(exercise, verdicts[0] if verdicts else None, len(verdicts), failed, level or 0)
