"""m6-platform: the committed prediction, beside who is let through now."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .shop import NEEDED, made


def platform(probe: Probe) -> Outcome:
    """m6-platform: what one policy does that allows, and names nobody; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m6-platform/not-committed",
            "There is no prediction yet.",
            "your predictions",
            "`lab.predict` with this exercise's id and one of the four texts; a wrong one costs nothing.",
        )
    answers = made(probe, NEEDED)
    through = sum(each.through for each in answers)
    return passed(
        f"You said: {probe.prediction}. Of the {len(answers)} calls that the shop lives from, {through} are let "
        "through at this moment.",
        "; ".join(f"{each.call}: {each}" for each in answers),
    )
