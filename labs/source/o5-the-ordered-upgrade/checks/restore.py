"""o5-restore: the committed prediction, beside the public keys of both Quorums, if the second one is there."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.quorums import Quorum

DECIDED = "the prediction for o5-restore"


def restore(probe: Probe) -> Outcome:
    """o5-restore: a prediction is committed; what there is to see is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "o5-restore/not-committed",
            "No prediction is committed yet.",
            DECIDED,
            "What would have to be in the file for that, who would have to put it there, and who could then read it?",
        )
    predicted = f"You predicted {probe.prediction!r}."
    keys = [
        ((Quorum(probe.world, each).object() or {}).get("status") or {}).get("publicKey") for each in "qr"
    ]
    if not all(keys):
        return passed(f"{predicted} There is no second Quorum with a key: the next cells make one.", DECIDED)
    told = "the same public key" if keys[0] == keys[1] else "different public keys"
    return passed(f"{predicted} q and r have {told}.", "Quorums q and r, status.publicKey")
