"""Children: run to their end, or ended with all that they started."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from labsupport.cluster import process


def test_what_a_child_says_and_how_it_ends() -> None:
    lines: list[str] = []
    done = process.run(
        [
            sys.executable,
            "-c",
            "import sys; print('a'); print('b\\rc', end=''); print('e', file=sys.stderr); sys.exit(3)",
        ],
        on_line=lines.append,
    )
    assert (done.status, done.stdout, done.stderr) == (3, "a\nb\rc", "e")
    assert sorted(lines) == ["a", "b\rc", "e"]
    assert done.reason() == "e"


def test_only_the_last_lines_are_kept() -> None:
    assert process.run(["seq", "100"], keep=2).stdout == "99\n100"


def test_a_signal_is_a_reason() -> None:
    done = process.run(["sh", "-c", "kill -KILL $$"])
    assert done.status == -signal.SIGKILL
    assert "SIGKILL" in done.reason()


def test_no_input_and_a_group_of_its_own() -> None:
    done = process.run(
        [sys.executable, "-c", "import os, sys; print(sys.stdin.read() == '', os.getpgid(0) == os.getpid())"]
    )
    assert done.stdout == "True True"


def test_time_out_ends_grandchildren_too(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(process.TimedOut):
        process.run(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], timeout=0.3)
    assert not _alive(int(pid.read_text()))


def test_closed_streams_do_not_hide_a_child_that_goes_on() -> None:
    began = time.monotonic()
    with pytest.raises(process.TimedOut):
        process.run(["sh", "-c", "exec >&- 2>&-; sleep 60"], timeout=0.3)
    assert time.monotonic() - began < 5


def test_interruption_ends_the_group(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    main = threading.main_thread().ident
    assert main is not None

    def interrupt(line: str) -> None:
        if line == "started":
            signal.pthread_kill(main, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        process.run(
            ["sh", "-c", f"sleep 60 & echo $! > {pid}; echo started; wait"], on_line=interrupt, timeout=20
        )
    assert not _alive(int(pid.read_text()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_our_own_termination_ends_the_group(tmp_path: Path, number: signal.Signals) -> None:
    pid = tmp_path / "pid"
    # Whoever runs the tests may ignore the signal (nohup), and children inherit that.
    code = f"""
import signal
from labsupport.cluster import process
signal.signal({int(number)}, signal.SIG_DFL)
process.run(["sh", "-c", "sleep 60 & echo $! > {pid}; echo; wait"], on_line=print)
"""
    ours = process.start([sys.executable, "-u", "-c", code])
    assert ours.stdout is not None
    assert ours.stdout.readline() == b"\n"
    ours.send_signal(number)
    assert ours.wait(10) == 128 + number
    assert not _alive(int(pid.read_text()))
    process.end(ours)
    ours.communicate()


def test_a_child_that_ignores_the_polite_signal_is_killed() -> None:
    child = process.start(["sh", "-c", "trap '' TERM; echo ready; sleep 60 & wait; sleep 60"])
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline() == b"ready\n"
    process.end(child, grace=0.1)
    assert child.returncode == -signal.SIGKILL
    assert not process.group_alive(child.pid)
    child.stdout.close()
    child.stderr.close()


def test_ending_what_has_ended_is_no_error() -> None:
    child = process.start(["true"], stdout=None, stderr=None)
    child.wait()
    process.end(child)
    assert child.returncode == 0


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/absent/program"])


def _alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and waits to be reaped by somebody else does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
