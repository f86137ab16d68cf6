"""A small SQLite file that must not get in a learner's way: shared, private, and replaceable by memory.

Write-ahead logging (sqlite.org/wal.html) lets several notebooks write at once and survives a crash in mid-write. A
damaged file is put aside and a new one begun; where the file cannot be used at all, the work goes on in memory.
Either is told through `trouble`, nothing is raised.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
WAIT = 5.0  # seconds that another notebook may hold the file
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Store:
    """One file with the tables of `schema`. Each piece of work opens and closes it: no connection is held between.

    `schema` must be repeatable (CREATE ... IF NOT EXISTS), `version` grows with it (PRAGMA user_version).
    """

    def __init__(self, place: Callable[[], Path], schema: str, version: int) -> None:
        """`place` gives the file's path; it is asked anew each time, and may fail."""
        self._place = place
        self._schema = schema
        self._version = version
        self._memory: sqlite3.Connection | None = None
        self._lock = threading.RLock()  # a panel's callback and a cell may come at the same time
        self._news = ""

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction, on the file if that can be had, else on a copy in memory."""
        with self._lock:
            try:
                return self._on_file(self._place(), work)
            except (sqlite3.Error, OSError) as error:
                self._news = (
                    f"Your progress could not be saved ({_reason(error)}). Checks and hints go on; what you "
                    "do now is remembered until this kernel or command ends."
                )
                return self._in_memory(work)

    def trouble(self) -> str:
        """What a learner should know of the file since this was last asked; empty if all is well."""
        with self._lock:
            news, self._news = self._news, ""
            return news

    def _on_file(self, path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
        # SQLite makes its side files with the mode of the main one.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        identity = os.fstat(descriptor).st_ino
        os.close(descriptor)
        try:
            return self._transaction(path, work)
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
                raise
        aside = _put_aside(path, identity)
        result = self._transaction(path, work)
        self._news = (
            f"The record of your progress was damaged. It is kept as {aside}, and a new one has begun; what was solved "
            "counts again once it is checked again."
        )
        return result

    def _transaction(self, path: Path, work: Callable[[sqlite3.Connection], T]) -> T:
        with closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as connection:
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            self._prepare(connection)
            return _in_transaction(connection, work)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if connection.execute("PRAGMA user_version").fetchone()[0] < self._version:
            connection.executescript(self._schema)
            connection.execute(f"PRAGMA user_version={self._version}")

    def _in_memory(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._memory is None:
            self._memory = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            # What was recorded before is worth having even where nothing can be added. Without its side files a
            # database in a directory that cannot be written opens as immutable only (sqlite.org/uri.html).
            for mode in ("mode=ro", "mode=ro&immutable=1"):
                with suppress(sqlite3.Error, OSError):
                    uri = f"{self._place().absolute().as_uri()}?{mode}"
                    with closing(sqlite3.connect(uri, uri=True, timeout=WAIT)) as file:
                        file.backup(self._memory)
                    break
            self._prepare(self._memory)
        return _in_transaction(self._memory, work)


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    # At once for writing: two that read first and write later would fail instead of waiting for each other.
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    return result


def _put_aside(path: Path, identity: int) -> Path:
    """Rename a damaged file and its side files, unless another notebook has done so in the meantime."""
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    with suppress(FileNotFoundError):
        if path.stat().st_ino == identity:
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)
