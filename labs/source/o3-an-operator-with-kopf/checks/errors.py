"""o3-errors: the committed prediction, beside the calls that the operator's log tells of, if it is still there."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

DECIDED = "the prediction for o3-errors"
FLOCKS = ("grey", "plaid", "gold")


def errors(probe: Probe) -> Outcome:
    """o3-errors: a prediction is committed; what there is to see is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "o3-errors/not-committed",
            "No prediction is committed yet.",
            DECIDED,
            "Go through the handler once for each of the three colours, and add up how often it is called.",
        )
    predicted = f"You predicted {float(probe.prediction):.10g} calls."
    dyer = probe.deployed("dyer")
    records = dyer.records() if dyer is not None else []
    calls = [each for each in records if each.get("record") == "handler" and each["reason"] == "create"]
    seen = {name: sum(each["name"] == name for each in calls) for name in FLOCKS}
    if not any(seen.values()):
        return passed(f"{predicted} No dyer has been called: the next cells run it.", DECIDED)
    told = ", ".join(f"{count} for {name}" for name, count in seen.items())
    return passed(f"{predicted} The dyer was called {sum(seen.values())} times: {told}.", "the dyer's log")
