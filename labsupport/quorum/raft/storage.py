"""What a member keeps on disk: a log file of records and a snapshot file, in one directory.

`save` returns only when what a Ready promises is on the disk; its messages are sent after that. A log file `wal-N`
begins with all that stays of the log, so it needs no other. A snapshot brings a new one, and each new file takes its
place by a rename, after its own and before the directory's fsync. So a crash at any moment leaves what was there before
or what is there after.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from labsupport.quorum.raft.files import File, Files
from labsupport.quorum.raft.framing import frame, unframe
from labsupport.quorum.raft.records import Entry, HardState, Position, Ready, Saved, Snapshot

SNAPSHOT = "snapshot"
WAL = "wal-"
TEMPORARY = ".new"
_FULL = {errno.ENOSPC, errno.EDQUOT}


class _Batch(msgspec.Struct, frozen=True, array_like=True):
    """A record of the log file. `start`: the log begins anew there. An entry replaces all from its index on."""

    hard_state: HardState | None
    entries: tuple[Entry, ...]
    start: Position | None = None


class StorageError(Exception):
    """The disk does not do what it should; `fix` says what a person can do next."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


class DiskFull(StorageError):
    """Nothing was saved, and what was there before is whole: `save` may be tried again when there is room."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "free space on the volume or enlarge it; the member goes on by itself")


class DiskFailed(StorageError):
    """It is not known what is on the disk: the process must end, and read it again when it starts."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "restart the member; if it comes again, replace the member and its volume")


class Damaged(StorageError):
    """What was saved has been changed by something else: the member must not take part with it."""

    def __init__(self, what: str) -> None:
        fix = "remove this member, delete its volume and add a new one: it could have forgotten a vote or an entry"
        super().__init__(what, fix)


class Storage:
    """One member's. Not for several threads at once."""

    def __init__(self, files: Files) -> None:
        """Read what is there; Damaged if it cannot be trusted. A torn last record is cut off: it promised nothing."""
        self._files = files
        self._number = 0
        self._log: File | None = None
        self._size = 0
        self.torn = 0  # bytes that were cut off when this was opened
        self.saved = self._load()

    def save(self, ready: Ready) -> None:
        """Bring what this asks for onto the disk. DiskFull or DiskFailed if not."""
        if not ready.must_save:
            return
        if ready.snapshot_to_save or self._log is None:
            self.replace(
                Saved(
                    ready.hard_state or self.saved.hard_state,
                    ready.snapshot_to_save or self.saved.snapshot,
                    ready.log_start,
                    ready.entries_to_save,
                )
            )
        else:
            self._append(_Batch(ready.hard_state, ready.entries_to_save))

    def replace(self, saved: Saved) -> None:
        """Let this stand for all that was there: with a snapshot, and when a member begins (`records.bootstrap`)."""
        with _telling("replacing the log"):
            if saved.snapshot:
                self._put(SNAPSHOT, msgspec.msgpack.encode(saved.snapshot)).close()
            name = f"{WAL}{self._number + 1}"
            batch = _Batch(saved.hard_state, saved.entries, saved.start)
            record = msgspec.msgpack.encode(batch)
            log = self._put(name, record)
            old, self._log, self._size = self._log, log, len(frame(record))
            self._number += 1
            if old:
                old.close()
            self._remove_all_but(name)

    def close(self) -> None:
        """Close the log file. What was saved is saved."""
        if self._log:
            self._log.close()
            self._log = None

    def _append(self, batch: _Batch) -> None:
        if self._log is None:
            raise AssertionError("no log file is open")
        record = frame(msgspec.msgpack.encode(batch))
        try:
            self._log.write(record)
            self._log.sync()
        except OSError as error:
            # After a failed fsync the kernel may hold pages for clean that are not on the disk, so trying fsync again
            # proves nothing. Cut off and written anew they are dirty again.
            with _telling("cutting off what could not be written"):
                try:
                    self._log.truncate(self._size)
                except OSError as second:
                    raise DiskFailed(f"cannot write the log, nor cut it off: {second}") from error
                raise
        self._size += len(record)

    def _put(self, name: str, payload: bytes) -> File:
        """Write a file of one record that is there whole or not at all; stays open."""
        temporary = name + TEMPORARY
        file = self._files.create(temporary)
        try:
            file.write(frame(payload))
            file.sync()
            self._files.rename(temporary, name)
            self._files.sync()
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                self._files.remove(temporary)
            raise
        return file

    def _remove_all_but(self, log: str) -> None:
        for name in self._files.names():
            if name.endswith(TEMPORARY) or (name.startswith(WAL) and name != log):
                self._files.remove(name)

    def _load(self) -> Saved:
        names = self._files.names()
        numbers = [name.removeprefix(WAL) for name in names if name.startswith(WAL)]
        logs = {int(number): WAL + number for number in numbers if number.isdecimal()}
        snapshot = self._load_snapshot() if SNAPSHOT in names else None
        if not logs:
            if snapshot and snapshot.index > 1:
                raise Damaged("there is a snapshot, but no log file beside it")
            return Saved()  # a first start that was cut short had promised nothing
        self._number = max(logs)
        saved = self._load_log(logs[self._number])
        self._log = self._files.append(logs[self._number])
        if self.torn:
            self._log.truncate(self._size)
        # What a process wrote and did not sync before it was killed can be read, but a power loss would still take it.
        self._log.sync()
        self._files.sync()
        self._remove_all_but(logs[self._number])
        return _joined(saved, snapshot)

    def _load_snapshot(self) -> Snapshot:
        records = unframe(self._files.read(SNAPSHOT))
        if len(records.payloads) != 1 or records.torn or records.damage:
            raise Damaged(f"the snapshot file is damaged: {records.damage or 'it has another length'}")
        return _decode(records.payloads[0], Snapshot, SNAPSHOT)

    def _load_log(self, name: str) -> Saved:
        records = unframe(self._files.read(name))
        if records.damage:
            raise Damaged(f"log file {name} is damaged: {records.damage}")
        if not records.payloads:
            raise Damaged(f"log file {name} has lost its beginning")
        self._size, self.torn = records.size, records.torn
        hard_state, start = HardState(), Position(0, 0)
        entries: list[Entry] = []
        for payload in records.payloads:
            batch = _decode(payload, _Batch, name)
            hard_state = batch.hard_state or hard_state
            if batch.start:
                start, entries = batch.start, []
            for entry in batch.entries:
                place = entry.index - start.index - 1
                if not 0 <= place <= len(entries):
                    raise Damaged(
                        f"log file {name} has entry {entry.index} after {start.index + len(entries)}"
                    )
                del entries[place:]
                entries.append(entry)
        return Saved(hard_state, None, start, tuple(entries))


def _joined(log: Saved, snapshot: Snapshot | None) -> Saved:
    """The log file and the snapshot; the snapshot may be newer, if a crash came before the log file was replaced."""
    if snapshot is None:
        if log.start.index:
            raise Damaged(f"the log begins after entry {log.start.index}, and the snapshot is gone")
        return log
    if snapshot.index < log.start.index:
        raise Damaged(f"the log begins after entry {log.start.index}, the snapshot ends at {snapshot.index}")
    place = snapshot.index - log.start.index
    terms = [log.start.term, *(entry.term for entry in log.entries)]
    if place < len(terms) and terms[place] == snapshot.term:
        return Saved(log.hard_state, snapshot, log.start, log.entries)
    return Saved(log.hard_state, snapshot, Position(snapshot.index, snapshot.term))


_T = TypeVar("_T")


def _decode(payload: bytes, type_: type[_T], name: str) -> _T:
    try:
        return msgspec.msgpack.decode(payload, type=type_)
    except msgspec.DecodeError as error:
        raise Damaged(f"{name} holds what this release cannot read: {error}") from error


@contextlib.contextmanager
def _telling(what: str) -> Iterator[None]:
    """Turn an OSError into the error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(f"no space left while {what}") from error
        raise DiskFailed(f"the disk failed while {what}: {error}") from error
