"""m6-stale: the committed prediction."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed


def stale(probe: Probe) -> Outcome:
    """m6-stale: how late a policy is that is part of a listener; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m6-stale/not-committed",
            "There is no prediction yet.",
            "your predictions",
            "`lab.predict` with this exercise's id and one of the three texts; a wrong one costs nothing.",
        )
    return passed(f"You said: {probe.prediction}. The cell below measures it.", "your prediction")
