"""o4-sets: the committed prediction, beside what comes of trying all sets."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import signers

DECIDED = "the prediction for o4-sets"


def sets(probe: Probe) -> Outcome:
    """o4-sets: a prediction is committed; what there is to see is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "o4-sets/not-committed",
            "No prediction is committed yet.",
            DECIDED,
            "Count the sets of each size from none to five, and ask for each size whether such a set can sign.",
        )
    keys = signers.ceremony(5, 3)
    count = len(signers.able(keys))
    return passed(
        f"You predicted {float(probe.prediction):.10g} sets. All 32 were tried just now: the signatures of {count} of "
        "them verify.",
        DECIDED,
    )
