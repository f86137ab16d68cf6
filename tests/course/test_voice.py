"""Progress for a person: nothing while it is quick, then often enough, and no thread left."""

from __future__ import annotations

import io
import itertools
import sys
import threading
import time

import pytest

from labsupport.course.voice import patient


def voices() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "labs voice"]


def test_quick_work_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    with patient("Checking x", lines.append) as say:
        say("a Pod")
    assert lines == []
    assert voices() == []


def test_the_last_word_is_repeated_though_nothing_changes() -> None:
    heard: list[tuple[float, str]] = []
    enough = threading.Event()

    def show(line: str) -> None:
        heard.append((time.monotonic(), line))
        if len(heard) == 4:
            enough.set()

    began = time.monotonic()
    with patient("Checking x", show, silence=0.05, every=0.2) as say:
        say("Pod web: 0 of 1 ready")
        assert enough.wait(5)
    assert heard[0][0] - began >= 0.05
    assert all("Checking x: Pod web: 0 of 1 ready (" in line for _, line in heard[:-1])
    assert heard[-1][1] == ""  # the line goes away
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(heard[:4])]
    assert all(0.15 <= gap < 1.0 for gap in gaps)


def test_news_is_told_before_its_turn() -> None:
    lines: list[str] = []
    told = threading.Event()

    def show(line: str) -> None:
        lines.append(line)
        if "second" in line:
            told.set()

    with patient("W", show, silence=0.0, every=60.0) as say:
        say("first")
        say("second")
        assert told.wait(5)


def test_it_ends_with_an_exception_too() -> None:
    def interrupted() -> None:
        with patient("W", silence=60) as say:
            say("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert voices() == []


def test_a_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()

    class Terminal(io.StringIO):
        def flush(self) -> None:
            written.set()

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with patient("W", silence=0.0) as say:
        say("x")
        assert written.wait(5)
    assert terminal.getvalue().startswith("  W")
