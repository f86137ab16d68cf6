"""Telling a person what is waited for: silent while things are quick, then at least every 5 seconds.

A notebook gets one line that is written over and goes away at the end; a terminal and a log get plain lines.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from labsupport.draw import theme
from labsupport.draw.theme import escape

SILENCE = 3.0  # seconds without a word that nobody minds
EVERY = 4.0  # seconds between words when nothing changes; a person must hear something at least every 5
Say = Callable[[str], None]


@contextmanager
def patient(
    what: str, show: Say | None = None, *, silence: float = SILENCE, every: float = EVERY
) -> Iterator[Say]:
    """A function for progress texts; what it was told last is shown, with `what` goes on and the seconds it took.

    `show` gets each line, and "" at the end; without it the line goes to the notebook's cell or to stderr. The thread
    that watches the clock ends with the block.
    """
    voice = _Voice(what, show or _place(), silence, every)
    voice.start()
    try:
        yield voice.say
    finally:
        voice.end()


class _Voice:
    def __init__(self, what: str, show: Say, silence: float, every: float) -> None:
        self._what = what
        self._show = show
        self._every = every
        self._started = time.monotonic()
        self._silence = silence
        self._pause = min(1.0, every)  # between two lines: a log should show life, not fill up
        self._text = ""
        self._news = False
        self._spoken: float | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="labs voice", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def say(self, text: str) -> None:
        """Note what is waited for; cheap enough to call for every step."""
        with self._changed:
            if text != self._text:
                self._text, self._news = text, True
                self._changed.notify()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()
        if self._spoken is not None:
            self._show("")

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (left := self._due() - time.monotonic()) > 0:
                    self._changed.wait(left)
                if self._ended:
                    return
                text, self._news = self._text, False
                self._spoken = time.monotonic()
            seconds = self._spoken - self._started
            self._show(
                f"{self._what}: {text} ({seconds:.0f} s)" if text else f"{self._what} ({seconds:.0f} s)"
            )

    def _due(self) -> float:
        """When the next line may come: news soon, the same again before silence becomes too long."""
        if self._spoken is None:
            return self._started + self._silence
        return self._spoken + (self._pause if self._news else self._every)


def _place() -> Say:
    """Where the line goes: the cell of a notebook, else stderr."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return _cell() if hasattr(shell, "kernel") else _stderr


def _stderr(line: str) -> None:
    if line:
        print(f"  {line}", file=sys.stderr, flush=True)


def _cell() -> Say:
    from IPython.display import display

    handle: Any = None

    def show(line: str) -> None:
        nonlocal handle
        bundle = {"text/plain": line, "text/html": html(line) if line else ""}
        if handle is None:
            handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            handle.update(bundle, raw=True)

    return show


def html(line: str) -> str:
    """A progress line for a page; screen readers announce it."""
    return f'<div role="status" class="labs-waiting" style="color:{theme.MUTED}">{escape(line)}</div>'
