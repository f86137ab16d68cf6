"""m7-retries: the committed prediction, beside what becomes of requests now while all Pods fail."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .traffic import load, pods, requests_of, set_faults

REQUESTS, CONNECTIONS = 60, 30


def retries(probe: Probe) -> Outcome:
    """m7-retries: requests of customers, and what the Pods see of them; needs a committed prediction."""
    if probe.prediction is None:
        return not_yet(
            "m7-retries/not-committed",
            "There is no prediction yet.",
            "your predictions",
            "`lab.predict` with this exercise's id and one of the four texts; a wrong one costs nothing.",
        )
    found = pods(probe, "app=inventory")
    before = sum(requests_of(probe, pod, "inventory") for pod in found)
    try:
        for pod in found:
            set_faults(probe, pod, "inventory", error_rate=1.0, latency_ms=20.0)
        load(probe, "http://inventory/stock/tea", requests=REQUESTS, connections=CONNECTIONS)
        seen = sum(requests_of(probe, pod, "inventory") for pod in found) - before
    finally:
        for pod in found:
            set_faults(probe, pod, "inventory", error_rate=0.0, latency_ms=0.0)
    return passed(
        f"You said: {probe.prediction}. With the policies that hold at this moment, and all {len(found)} Pods failing, "
        f"{REQUESTS} requests of customers were {seen} at the Pods. The next cells change the policy.",
        f"{REQUESTS} requests over {CONNECTIONS} connections, and the Pods' own counts",
    )
