"""How far a suite is, from what ginkgo prints: it marks each test that has ended at the beginning of a line.

For the person who waits only; results are read from ginkgo's report. The suite can post its progress to an address as
well (--progress-report-url), but of several processes it posted the beginning and nothing more.
"""

from __future__ import annotations

from collections.abc import Callable

# "• [5.2 seconds]" (passed), "• [FAILED] [5.2 seconds]" and the like
ENDED = "• ["
TROUBLE = ("[FAILED]", "[PANICKED]", "[TIMEDOUT]", "[INTERRUPTED]", "[ABORTED]")


class Counter:
    """Tests that have ended, by how; `show` gets a line about each."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self.ended = 0
        self.failed = 0

    def line(self, line: str) -> None:
        """A line that ginkgo printed."""
        if line.startswith(ENDED):
            self.ended += 1
            self.failed += any(word in line for word in TROUBLE)
            self._show(f"{self.ended} tests ended, {self.failed} failed")
