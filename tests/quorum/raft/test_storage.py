"""What is on disk after a process or the power was lost at any moment, after damage, and when there is no room."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from labsupport.quorum.raft.files import DirectoryFiles
from labsupport.quorum.raft.framing import frame, unframe
from labsupport.quorum.raft.records import (
    Configuration,
    Entry,
    HardState,
    Position,
    Ready,
    Saved,
    Snapshot,
    SoftState,
    bootstrap,
)
from labsupport.quorum.raft.storage import Damaged, DiskFailed, DiskFull, Storage, StorageError
from tests.quorum.raft.disk import Content, Crash, Disk

MEMBERS = Configuration(frozenset({1, 2, 3}))
FIRST = bootstrap(MEMBERS, b"first")


def ready(*entries: Entry, hard_state: HardState | None = None) -> Ready:
    soft = SoftState("follower", None, 1, 0, MEMBERS)
    return Ready(hard_state, entries, None, FIRST.start, (), None, (), (), (), soft)


def entry(index: int, term: int = 1, data: bytes = b"") -> Entry:
    return Entry(index, term, "command", data or f"entry {index} of {term}".encode())


def began(*batches: Ready) -> Disk:
    """A member's disk after its start and these saves; all of it synced."""
    disk = Disk()
    storage = Storage(disk)
    storage.replace(FIRST)
    for batch in batches:
        storage.save(batch)
    disk.lose_power()
    disk.operations = 0
    return disk


def copied(disk: Disk) -> Disk:
    files = {name: Content(bytearray(c.seen), c.synced) for name, c in disk.files.items()}
    return Disk(files, dict(files))


def log_of(disk: Disk) -> Content:
    return next(content for name, content in disk.files.items() if name.startswith("wal-"))


APPENDS = (
    ready(entry(2), entry(3), hard_state=HardState(1, 2)),
    ready(entry(4), hard_state=HardState(2, 3)),
    ready(entry(3, 3), entry(4, 3), hard_state=HardState(3, None)),  # replaces 3 and 4
)
AFTER = Saved(HardState(3, None), FIRST.snapshot, FIRST.start, (entry(2), entry(3, 3), entry(4, 3)))
COMPACTED = replace(
    ready(entry(4, 3), hard_state=HardState(3, None)),
    snapshot_to_save=Snapshot(3, 3, Configuration(frozenset({1, 2})), b"state after 3"),
    log_start=Position(3, 3),
)
AFTER_COMPACTED = Saved(
    HardState(3, None), COMPACTED.snapshot_to_save, COMPACTED.log_start, COMPACTED.entries_to_save
)


def test_what_was_saved_is_read_again() -> None:
    disk = began(*APPENDS)
    assert Storage(disk).saved == AFTER
    Storage(disk).save(COMPACTED)
    disk.lose_power()
    assert Storage(disk).saved == AFTER_COMPACTED
    assert disk.names() == ["snapshot", "wal-2"]


def test_a_real_directory_is_private_and_holds_the_same(tmp_path: Path) -> None:
    directory = tmp_path / "raft"
    storage = Storage(DirectoryFiles(directory))
    storage.replace(FIRST)
    for batch in (*APPENDS, COMPACTED, ready(entry(5, 3))):
        storage.save(batch)
    storage.close()
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    again = Storage(DirectoryFiles(directory)).saved
    assert again == replace(AFTER_COMPACTED, entries=(entry(4, 3), entry(5, 3)))


def test_a_member_that_joins_has_no_snapshot_yet() -> None:
    disk = Disk()
    storage = Storage(disk)
    assert storage.saved == Saved()
    storage.save(replace(ready(hard_state=HardState(4)), log_start=Position(0, 0)))
    disk.lose_power()
    assert Storage(disk).saved == Saved(HardState(4))


# Power lost.


def test_the_end_of_the_file_may_be_missing_at_any_byte() -> None:
    disk = began(*APPENDS[:2])
    before = began(*APPENDS[:1])
    whole, first = bytes(log_of(disk).seen), len(log_of(before).seen)
    for end in range(first, len(whole)):
        torn = copied(disk)
        log_of(torn).seen = bytearray(whole[:end])
        storage = Storage(torn)
        assert storage.saved == Storage(before).saved
        assert storage.torn == end - first
        storage.save(APPENDS[1])  # and it goes on from there
        torn.lose_power()
        assert Storage(torn).saved == Storage(copied(disk)).saved


def test_sectors_of_the_last_record_may_never_have_been_written() -> None:
    before = began(*APPENDS[:1])
    disk = began(*APPENDS[:1], ready(entry(4, data=bytes(1500))))  # zeros are data as well
    whole, first = bytes(log_of(disk).seen), len(log_of(before).seen)
    edges = [first, *range((first // 512 + 1) * 512, len(whole), 512), len(whole)]
    assert len(edges) > 4
    for begin, end in pairwise(edges):
        torn = copied(disk)
        log_of(torn).seen[begin:end] = bytes(end - begin)
        assert Storage(torn).saved == Storage(copied(before)).saved


@pytest.mark.parametrize("power", [False, True], ids=["process killed", "power lost"])
@pytest.mark.parametrize("unrenamed", [False, True])
@pytest.mark.parametrize(
    ("batch", "before", "after"),
    [
        (APPENDS[2], Storage(began(*APPENDS[:2])).saved, AFTER),
        (COMPACTED, AFTER, AFTER_COMPACTED),
        (None, Saved(), FIRST),
    ],
    ids=["append", "snapshot", "first start"],
)
def test_a_crash_at_any_operation_leaves_what_was_or_what_is(
    batch: Ready | None, before: Saved, after: Saved, unrenamed: bool, power: bool
) -> None:
    def start() -> Disk:
        return Disk() if batch is None else began(*(APPENDS[:2] if batch is APPENDS[2] else APPENDS))

    def save(storage: Storage) -> None:
        storage.replace(FIRST) if batch is None else storage.save(batch)

    mixed = replace(before, snapshot=after.snapshot)  # the new snapshot and the old log, which goes with it
    counted = start()
    save(Storage(counted))
    total = counted.operations
    outcomes = set()
    for seed in range(10):
        for at in range(1, total + 1):
            disk = start()
            disk.fail_at, disk.partly, disk.unrenamed = at, Random(seed).random(), unrenamed
            with pytest.raises(Crash):
                save(Storage(disk))
            disk.fail_at = None
            if power:
                disk.lose_power(Random(seed))
            found = Storage(disk).saved
            assert found in (before, after, mixed)
            outcomes.add("before" if found == before else "after")
            disk.lose_power()  # what was read once is there for good
            assert Storage(disk).saved == found
    assert outcomes == {"before", "after"}


def test_what_was_written_by_a_killed_process_is_synced_before_it_is_believed() -> None:
    disk = began(*APPENDS[:1])
    storage = Storage(disk)
    disk.fail_at = disk.operations + 2  # the write is done, the sync is not
    with pytest.raises(Crash):
        storage.save(APPENDS[1])
    disk.fail_at = None
    believed = Storage(disk).saved  # the next process reads it from the page cache
    assert entry(4) in believed.entries
    disk.lose_power()
    assert Storage(disk).saved == believed


# Damage.


def test_one_wrong_bit_anywhere_is_refused() -> None:
    disk = began(*APPENDS, ready(entry(5, 3, bytes(600))))
    for content in (log_of(disk), disk.files["snapshot"]):
        for bit in range(0, len(content.seen) * 8, 1 if len(content.seen) < 300 else 7):
            content.seen[bit // 8] ^= 1 << bit % 8
            with pytest.raises(Damaged) as refusal:
                Storage(disk)
            assert "remove this member" in refusal.value.fix
            content.seen[bit // 8] ^= 1 << bit % 8
    Storage(disk)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda disk: disk.files.pop("snapshot"), "the snapshot is gone"),
        (lambda disk: disk.files.pop("wal-2"), "no log file beside it"),
        (lambda disk: log_of(disk).seen.clear(), "has lost its beginning"),
        (lambda disk: log_of(disk).seen.extend(frame(b"\xc1")), "cannot read"),
    ],
)
def test_what_does_not_fit_together_is_refused(damage: Callable[[Disk], None], told: str) -> None:
    disk = began(*APPENDS)
    Storage(disk).save(COMPACTED)
    damage(disk)
    with pytest.raises(Damaged, match=told):
        Storage(disk)


def test_records_come_out_as_they_went_in() -> None:
    payloads = [bytes(size) for size in (0, 1, 7, 8, 511, 512, 1300)] + [b"\xa5" * 600]
    data = b"".join(map(frame, payloads))
    assert unframe(data).payloads == tuple(payloads)
    assert unframe(data).size == len(data)
    assert len(data) % 8 == 0


# No room, no disk.


@pytest.mark.parametrize("batch", [APPENDS[2], COMPACTED], ids=["append", "snapshot"])
@pytest.mark.parametrize("partly", [0.0, 0.5, 1.0])
def test_no_room_at_any_operation_is_told_and_changes_nothing_that_was_promised(
    batch: Ready, partly: float
) -> None:
    first, after = (APPENDS[:2], AFTER) if batch is APPENDS[2] else (APPENDS, AFTER_COMPACTED)
    before = Storage(began(*first)).saved
    counted = began(*first)
    Storage(counted).save(batch)
    told = []
    for at in range(3, counted.operations + 1):  # the first two are those of opening
        disk = began(*first)
        storage = Storage(disk)
        disk.fail_at, disk.error, disk.partly = at, errno.ENOSPC, partly
        try:
            storage.save(batch)
        except DiskFull as full:
            told.append(full.fix)
        disk.fail_at = None
        here = copied(disk)
        here.lose_power()
        assert Storage(here).saved in (before, after, replace(before, snapshot=after.snapshot))
        storage.save(batch)  # there is room again
        disk.lose_power()
        assert Storage(disk).saved == after
    assert len(told) == counted.operations - 2
    assert all("free space" in fix for fix in told)


def test_a_disk_that_fails_ends_the_member() -> None:
    disk = began(*APPENDS[:2])
    storage = Storage(disk)
    disk.fail_at, disk.error, disk.for_good = disk.operations + 1, errno.EIO, True
    with pytest.raises(DiskFailed, match="nor cut it off") as failure:
        storage.save(APPENDS[2])
    assert isinstance(failure.value, StorageError)
    assert "restart" in failure.value.fix
