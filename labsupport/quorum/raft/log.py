"""The log in memory: entries after a start, how far they are saved, committed and applied, and who are the members.

It holds what is on disk and what is about to be. Nothing that is committed is ever removed but by a snapshot.
"""

from __future__ import annotations

from labsupport.quorum.raft.records import Configuration, Entry, Position, Saved, Snapshot


class Log:
    """Indexes are those of entries; `term(i)` is None for what is gone or has not come yet."""

    def __init__(self, saved: Saved) -> None:
        self.snapshot = saved.snapshot
        self.start = saved.start
        self.entries = list(saved.entries)
        self.saved = self.last_index
        self.commit = saved.snapshot.index if saved.snapshot else 0
        self.applied = self.commit
        self.unsaved_snapshot: Snapshot | None = None
        self.unrestored: Snapshot | None = None
        first = saved.snapshot.configuration if saved.snapshot else Configuration()
        self._configurations: list[tuple[int, Configuration]] = [(self.commit, first)]
        for entry in self.entries:
            if entry.index > self.commit:
                self._note(entry)

    @property
    def last_index(self) -> int:
        """Of the newest entry."""
        return self.start.index + len(self.entries)

    @property
    def last_term(self) -> int:
        """Of the newest entry."""
        return self.entries[-1].term if self.entries else self.start.term

    def term(self, index: int) -> int | None:
        """Of the entry at `index`, if it is here (or was the last one before the start)."""
        if index == self.start.index:
            return self.start.term
        if self.start.index < index <= self.last_index:
            return self.entries[index - self.start.index - 1].term
        return None

    def after(self, index: int, *, until: int | None = None, limit: int | None = None) -> tuple[Entry, ...]:
        """Entries after `index` to `until` (the last); of those as many as `limit` bytes hold, but at least one."""
        begin = index - self.start.index
        found = self.entries[begin : None if until is None else until - self.start.index]
        if limit is not None:
            size = 0
            for count, entry in enumerate(found):
                size += len(entry.data) + 32  # the entry's other fields, as MessagePack
                if count and size > limit:
                    return tuple(found[:count])
        return tuple(found)

    @property
    def configuration(self) -> Configuration:
        """The newest one in the log, committed or not: it holds as soon as it is there (dissertation, section 4.1)."""
        return self._configurations[-1][1]

    @property
    def configuration_index(self) -> int:
        """Where that one stands."""
        return self._configurations[-1][0]

    def configuration_at(self, index: int) -> Configuration:
        """The one that held once the entry at `index` was there."""
        return next(held for since, held in reversed(self._configurations) if since <= index)

    def newer_than(self, term: int, index: int) -> bool:
        """Whether this log is more up to date than one that ends so (paper, section 5.4.1)."""
        return (self.last_term, self.last_index) > (term, index)

    def append(self, entry: Entry) -> None:
        """Add the next entry."""
        if entry.index != self.last_index + 1:
            raise ValueError(f"entry {entry.index} after {self.last_index}")
        self.entries.append(entry)
        self._note(entry)

    def merge(self, previous: Position, entries: tuple[Entry, ...]) -> int | None:
        """Take what the leader sent (paper, figure 2, AppendEntries 2 to 4).

        Returns the last index that is now equal to the leader's, None if `previous` is not in this log. What is
        already here stays, so that an old message that comes late takes nothing back.
        """
        if previous.index < self.start.index:  # covered by a snapshot, so committed, so equal
            entries = tuple(entry for entry in entries if entry.index > self.start.index)
        elif self.term(previous.index) != previous.term:
            return None
        last = max(previous.index + len(entries), self.start.index) if not entries else entries[-1].index
        for entry in entries:
            here = self.term(entry.index)
            if here == entry.term:
                continue
            if here is not None:
                self._truncate(entry.index)
            self.append(entry)
        return last

    def common(self, index: int, term: int) -> Position:
        """The last position up to `index` that could be equal to one of a log that has `term` there."""
        index = min(index, self.last_index)
        while (here := self.term(index)) is not None and here > term:
            index -= 1
        return Position(index, here or 0)

    def commit_to(self, index: int) -> None:
        """Note that all up to `index` is committed, as far as it is here; never back."""
        self.commit = max(self.commit, min(index, self.last_index))

    def saved_to(self, last: Entry) -> None:
        """`last` and all before it reached the disk; unless it was replaced meanwhile."""
        if self.term(last.index) == last.term:
            self.saved = max(self.saved, last.index)

    def compact(self, index: int, data: bytes, keep: int) -> Snapshot:
        """Let `data`, the state after `index`, stand for the entries up to there; `keep` of them stay for laggards."""
        term = self.term(index)
        if term is None or index > self.applied or (self.snapshot and index <= self.snapshot.index):
            raise ValueError(
                f"no snapshot at {index}: applied {self.applied}, log begins at {self.start.index}"
            )
        snapshot = Snapshot(index, term, self.configuration_at(index), data)
        self.snapshot = self.unsaved_snapshot = snapshot
        first = max(self.start.index, index - keep)
        first_term = self.term(first)
        del self.entries[: first - self.start.index]
        self.start = Position(first, first_term or 0)
        self._configurations = [
            (index, snapshot.configuration),
            *(held for held in self._configurations if held[0] > index),
        ]
        return snapshot

    def install(self, snapshot: Snapshot) -> None:
        """Take the leader's snapshot in place of all that is here (paper, figure 13, step 7)."""
        self.snapshot = self.unsaved_snapshot = self.unrestored = snapshot
        self.start = Position(snapshot.index, snapshot.term)
        self.entries = []
        self.commit = self.applied = self.saved = snapshot.index
        self._configurations = [(snapshot.index, snapshot.configuration)]

    def _truncate(self, index: int) -> None:
        if index <= self.commit:
            raise AssertionError(f"entry {index} is committed ({self.commit}) and would be replaced")
        del self.entries[index - self.start.index - 1 :]
        self.saved = min(self.saved, index - 1)
        self._configurations = [held for held in self._configurations if held[0] < index]

    def _note(self, entry: Entry) -> None:
        if entry.kind == "config":
            self._configurations.append((entry.index, Configuration.decode(entry.data)))
