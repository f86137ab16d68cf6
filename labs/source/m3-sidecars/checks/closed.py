"""m3-closed: the committed prediction, beside what the ledger sees of the three clients while all is well."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import sidecars
from labsupport.errors import LabsError

SEEN = {"+": "and it knows the caller", "-": "and the caller is nobody to it", "x": "not at all"}


def closed(probe: Probe) -> Outcome:
    """m3-closed: one of the answers is committed; what can be seen without an outage is told."""
    if probe.prediction is None:
        return not_yet(
            "m3-closed/not-committed",
            "There is no prediction yet.",
            "your prediction",
            "`lab.predict(...)` with this exercise's id and one of the answers.",
        )
    parts = []
    for client in sidecars.CLIENTS:
        try:
            said = sidecars.asking(probe.world, *client, seconds=0.0)[-1][1]
            parts.append(f"{sidecars.WORDS[client]}: its request arrives {SEEN[sidecars.sign(said)]}")
        except (LabsError, ValueError, IndexError):
            parts.append(f"{sidecars.WORDS[client]}: it cannot be asked just now")
    return passed(
        f"You predicted: {probe.prediction}. With the proxies alive, {'; '.join(parts)}.",
        "your prediction, and one request of each client",
    )
