"""The record of progress: shared by notebooks, safe in a crash, and never in a learner's way."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from labsupport import paths
from labsupport.course import ladder
from labsupport.course.progress import PAUSE, Progress, time_spent
from labsupport.course.verdict import Kind, Verdict


@pytest.fixture
def store(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "progress.sqlite")


def verdict(kind: Kind, exercise: str = "zz-one") -> Verdict:
    return Verdict(exercise, kind, "e", "o", "d", f"{exercise}/{kind}")


def test_it_outlives_whoever_wrote_it(store: Progress) -> None:
    store.take_hint("zz-one", 3)
    store.add(verdict("not_yet"))
    store.predict("zz-two", "x")
    again = Progress(store.path)  # a restarted kernel, the command line, a new clone
    record = again.record("zz-one")
    assert (record.attempts, record.hint_level, record.diagnostic) == (1, 1, "zz-one/not_yet")
    assert again.prediction("zz-two") == "x"


def test_it_lies_in_the_users_directory_and_not_in_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    Progress().take_hint("zz-one", 3)
    file = tmp_path / "labs/progress.sqlite"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert paths.REPOSITORY not in file.parents


def test_the_states(store: Progress) -> None:
    assert store.record("zz-one").state == "not started"
    store.see("zz-one")
    assert store.record("zz-one").state == "seen"
    store.add(verdict("not_yet"))
    assert store.record("zz-one").state == "not yet"
    store.add(verdict("pass"))
    assert store.record("zz-one").state == "pass"
    store.add(verdict("could_not_check"))
    assert store.record("zz-one").state == "pass"
    store.add(verdict("not_yet"))
    record = store.record("zz-one")
    assert (record.state, record.failed_in_a_row, record.attempts) == ("open again", 1, 3)


def test_the_solution_stays_open_once_it_was(store: Progress) -> None:
    for left in (3, 2, 1, 0):
        assert ladder.failures_before_solution(store.record("zz-one")) == left
        store.add(verdict("not_yet"))
    store.add(verdict("pass"))
    store.add(verdict("not_yet"))
    assert ladder.failures_before_solution(store.record("zz-one")) == 0


@pytest.mark.parametrize(
    ("failed", "hints", "hint", "solution"),
    [
        (1, 0, False, False),
        (2, 0, True, False),
        (3, 0, True, True),
        (3, 3, False, True),
        (2, 3, False, False),
    ],
)
def test_the_next_step_is_named(store: Progress, failed: int, hints: int, hint: bool, solution: bool) -> None:
    for _ in range(hints):
        store.take_hint("zz-one", 3)
    for _ in range(failed):
        told = ladder.recorded(verdict("not_yet"), store)
    assert ('lab.hint("zz-one")' in told.advice) is hint
    assert ('lab.solution("zz-one")' in told.advice) is solution
    assert told.hint_level == hints


def test_a_pass_needs_no_advice(store: Progress) -> None:
    for _ in range(4):
        ladder.recorded(verdict("not_yet"), store)
    assert ladder.recorded(verdict("pass"), store).advice == ""


def test_time_goes_from_first_sight_to_the_pass_without_the_night_between() -> None:
    assert time_spent([100.0, 160.0, 400.0], until=160.0) == 60.0
    assert time_spent([0.0, 60.0, 60.0 + 10 * PAUSE], until=None) == 60.0 + PAUSE
    assert time_spent([5.0], until=5.0) == time_spent([], until=None) == 0.0


def test_a_record_of_the_first_version_is_taken_over(store: Progress) -> None:
    with sqlite3.connect(store.path) as old:
        old.execute(
            "CREATE TABLE attempt (at REAL NOT NULL, exercise TEXT NOT NULL, verdict TEXT NOT NULL, diagnostic TEXT "
            "NOT NULL, hint_level INTEGER NOT NULL, seconds REAL NOT NULL)"
        )
        old.execute("INSERT INTO attempt VALUES (1.0, 'zz-one', 'pass', 'ok', 0, 0.1)")
    old.close()
    assert store.record("zz-one").state == "pass"
    assert store.predict("zz-one", 1.0)
    assert store.trouble() == ""


WRITER = """
import sys
from pathlib import Path
from labsupport.course.progress import Progress
from labsupport.course.verdict import Verdict
store = Progress(Path(sys.argv[1]))
sys.stdin.readline()
for number in range(40):
    store.add(Verdict(sys.argv[2], "not_yet", "", "", "", "d"))
    store.take_hint("zz-shared", 3)
print(store.trouble())
"""


def test_notebooks_write_side_by_side(store: Progress) -> None:
    names = ["zz-a", "zz-b", "zz-c"]
    # PIPE: all begin together, on a file that is not there yet.
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        output, _ = writer.communicate(timeout=60)
        assert (writer.returncode, output.strip()) == (0, "")
    assert [store.record(name).attempts for name in names] == [40, 40, 40]
    assert store.record("zz-shared").hint_level == 3


CRASH = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
for number in range(2000):
    connection.execute("INSERT INTO attempt VALUES (1, 'zz-one', 'pass', 'ok', 0, 0)")
print("writing", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_crash_in_mid_write_loses_no_earlier_attempt(store: Progress) -> None:
    store.add(verdict("not_yet"))
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, str(store.path)], capture_output=True, text=True, check=False
    )
    assert (crashed.returncode, crashed.stdout) == (-signal.SIGKILL, "writing\n")
    assert store.record("zz-one").attempts == 1
    store.add(verdict("pass"))
    assert store.record("zz-one").attempts == 2
    assert store.trouble() == ""


def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(store: Progress) -> None:
    store.path.write_bytes(b"not a database at all" * 400)
    told = ladder.recorded(verdict("pass"), store)
    assert told
    aside = next(store.path.parent.glob("progress.sqlite.damaged-*"))
    assert str(aside) in told.note
    assert aside.read_bytes().startswith(b"not a database")
    assert Progress(store.path).record("zz-one").state == "pass"
    assert ladder.recorded(verdict("pass"), store).note == ""  # told once


def test_a_page_torn_out_of_the_middle_is_noticed(store: Progress) -> None:
    for _ in range(300):
        store.add(verdict("not_yet"))
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    told = ladder.recorded(verdict("pass"), store)
    assert told
    assert "damaged" in told.note
    assert store.record("zz-one").state == "pass"


@pytest.fixture
def shut() -> Iterator[Progress]:
    """A record in a directory in which this process may write nothing."""
    place = Path(tempfile.mkdtemp(prefix="labs-test-"))  # not under tmp_path, which others may not enter
    store = Progress(place / "progress.sqlite")
    for _ in range(2):
        store.add(verdict("not_yet"))
    for path in (*place.iterdir(), place):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield Progress(store.path)
    finally:
        os.seteuid(before)
        place.chmod(0o700)
        for path in place.iterdir():
            path.unlink()
        place.rmdir()


def test_where_nothing_can_be_written_checks_go_on_and_say_so(shut: Progress) -> None:
    told = ladder.recorded(verdict("not_yet"), shut)
    assert "could not be saved" in told.note
    assert "lab.solution" in told.advice  # it knows of the two failures in the file
    assert shut.take_hint("zz-one", 3) == 1
    assert shut.take_hint("zz-one", 3) == 2
    assert shut.predict("zz-two", 3.0)
    assert shut.prediction("zz-two") == 3.0
    passed = ladder.recorded(verdict("pass"), shut)
    assert passed
    assert "could not be saved" in passed.note
    assert shut.record("zz-one").attempts == 4


def test_a_place_that_is_no_place_is_no_reason_to_stop(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Progress(tmp_path / "file" / "progress.sqlite")
    assert ladder.recorded(verdict("pass"), store)
    assert store.record("zz-one").state == "pass"
    assert "could not be saved" in store.trouble()
