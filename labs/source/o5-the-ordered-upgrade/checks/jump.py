"""o5-jump: the committed prediction, beside what the lab's Quorum says of the release that is wanted now."""

from __future__ import annotations

from labsupport.cluster import quorum as operator
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.quorums import Quorum

DECIDED = "the prediction for o5-jump"


def jump(probe: Probe) -> Outcome:
    """o5-jump: a prediction is committed; what there is to see is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "o5-jump/not-committed",
            "No prediction is committed yet.",
            DECIDED,
            "Which protocols does a member of 2.0 speak, and which do the two others speak that it would have to join?",
        )
    predicted = f"You predicted {probe.prediction!r}."
    found = Quorum(probe.world).object() or {}
    wanted = (found.get("spec") or {}).get("release")
    said = operator.conditions(found).get("UpgradeBlocked", {})
    if wanted != "2.0" or said.get("status") != "True":
        return passed(
            f"{predicted} Release {wanted} is wanted at the moment: the next cell wants 2.0.", DECIDED
        )
    return passed(
        f"{predicted} The Quorum says {said['reason']}: {said.get('message')}.", "Quorum q, UpgradeBlocked"
    )
