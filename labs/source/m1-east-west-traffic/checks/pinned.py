"""m1-pinned: the committed prediction, beside what one kept connection does to three Pods."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .shop import load

PINNED = 300


def pinned(probe: Probe) -> Outcome:
    """m1-pinned: what one kept connection does to three Pods; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m1-pinned/not-committed",
            "There is no prediction yet.",
            "your predictions",
            'Commit a number with `lab.predict("m1-pinned", ...)`; a wrong one costs nothing and teaches more.',
        )
    seen = load(probe, "http://inventory/stock/tea", requests=PINNED)
    busiest = max(seen.by_pod.values(), default=0)
    counts = ", ".join(f"{pod} {count}" for pod, count in seen.by_pod.items())
    return passed(
        f"You said {probe.prediction}; {busiest} of {PINNED} requests over one connection were answered by one Pod "
        f"({counts}).",
        f"{PINNED} GET http://inventory/stock/tea, 1 connection opened",
    )
