"""o2-level: the committed prediction, beside the flocks that the two shepherds left."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed


def level(probe: Probe) -> Outcome:
    """o2-level: a prediction is committed; what there is to see is told beside it."""
    if probe.prediction is None:
        return not_yet(
            "o2-level/not-committed",
            "No prediction is committed yet.",
            "the prediction for o2-level",
            "Read both functions once more, follow the shepherd through the night, and commit what you expect.",
        )
    predicted = f"You predicted {float(probe.prediction):.10g} sheep."
    seen = []
    for name in ("edge", "level"):
        flock = probe.get(f"{probe.world.group}/v1", "Flock", name)
        if flock is not None:
            count = len(probe.list("v1", "ConfigMap", labels=f"flock={name}"))
            seen.append(f"{name}-triggered: {count} sheep, {flock['spec']['size']} wanted")
    if not seen:
        text = f"{predicted} The two flocks are not here: the next cells make them."
        return passed(text, "the prediction for o2-level")
    return passed(
        f"{predicted} In your namespace: {'; '.join(seen)}.",
        "ConfigMaps by their label flock",
    )
