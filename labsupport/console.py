"""Progress on stderr: a live line on a terminal, plain lines elsewhere. Standard output is left to results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

PLAIN_INTERVAL = 5.0  # seconds between plain progress lines: a log should show life, not fill up

stderr = Console(stderr=True, highlight=False)


class Phase:
    """One piece of long work, as a person follows it."""

    def __init__(self, title: str, status: Status | None) -> None:
        self.title = title
        self.started = time.monotonic()
        self._status = status
        self._last_line = self.started

    @property
    def seconds(self) -> float:
        """Seconds since the phase began."""
        return time.monotonic() - self.started

    def update(self, detail: str) -> None:
        """Show how far the work is; cheap enough to call for every item."""
        if self._status is not None:
            self._status.update(f"{self.title}: {detail}")
        elif time.monotonic() - self._last_line >= PLAIN_INTERVAL:
            self._last_line = time.monotonic()
            print(f"  {self.title}: {detail} ({self.seconds:.0f} s)", file=sys.stderr, flush=True)


@contextmanager
def phase(title: str) -> Iterator[Phase]:
    """Announce work, show its progress, and say how long it took or that it failed."""
    if stderr.is_terminal:
        with stderr.status(title) as status:
            current = Phase(title, status)
            try:
                yield current
            except BaseException:
                stderr.print(f"  [red]failed[/red]  {title} ({current.seconds:.1f} s)")
                raise
        stderr.print(f"  [green]done[/green]  {title} ({current.seconds:.1f} s)")
        return
    current = Phase(title, None)
    print(f"  ...   {title}", file=sys.stderr, flush=True)
    try:
        yield current
    except BaseException:
        print(f"  failed  {title} ({current.seconds:.1f} s)", file=sys.stderr, flush=True)
        raise
    print(f"  done  {title} ({current.seconds:.1f} s)", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """One line that is neither progress nor result, for instance a warning."""
    stderr.print(text, markup=False)
