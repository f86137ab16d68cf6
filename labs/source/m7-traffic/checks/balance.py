"""m7-balance: the committed prediction, beside what is measured now."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .traffic import load

REQUESTS, CONNECTIONS = 400, 8


def balance(probe: Probe) -> Outcome:
    """m7-balance: the share of a slow Pod; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m7-balance/not-committed",
            "There is no prediction yet.",
            "your predictions",
            "`lab.predict` with this exercise's id and one of the three texts; a wrong one costs nothing.",
        )
    came = load(probe, "http://inventory/stock/tea", requests=REQUESTS, connections=CONNECTIONS)
    shares = ", ".join(f"{pod}: {count / REQUESTS:.0%}" for pod, count in came.by_pod.items())
    return passed(
        f"You said: {probe.prediction}. Of {REQUESTS} requests just now each Pod had: {shares}.",
        f"{REQUESTS} requests over {CONNECTIONS} connections",
    )
