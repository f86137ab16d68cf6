"""m4-change: the committed prediction, beside what the control plane sent when it last heard of the Pods of web."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import controlplane
from labsupport.errors import LabsError


def change(probe: Probe) -> Outcome:
    """m4-change: a number is committed; what was measured is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "m4-change/not-committed",
            "No prediction is committed yet.",
            "the prediction for m4-change",
            "`lab.predict(...)` with this exercise's id and a number.",
        )
    predicted = f"You predicted {float(probe.prediction):.10g}."
    try:
        seen = _measured(controlplane.records(probe))
    except LabsError:
        seen = None
    if seen is None:
        return passed(
            f"{predicted} Nothing has changed at web since: the next cell does it.", "your prediction"
        )
    what = ", ".join(f"{kind} {name}" for kind, name in seen) or "nothing"
    return passed(
        f"{predicted} The last news of the Pods of web made the control plane send: {what}.", "its records"
    )


def _measured(told: list[controlplane.Record]) -> list[tuple[str, str]] | None:
    """What one proxy was sent after calls for slices of web alone; None if there was no such call."""
    found: list[tuple[str, str]] | None = None
    counting, proxy = False, ""
    for each in told:
        if each["what"] == "called":
            names = [name for name in each["because"] if not name.startswith("EndpointSlice snapshot")]
            counting = bool(names) and all(
                name.startswith("EndpointSlice web-") and not name.startswith("EndpointSlice web-next")
                for name in names
            )
            found = (found or []) if counting else found
        elif each["what"] == "sent" and counting:
            proxy = proxy or each["proxy"]
            if each["proxy"] == proxy:
                found = [*(found or []), *controlplane.sent([each])]
    return found
