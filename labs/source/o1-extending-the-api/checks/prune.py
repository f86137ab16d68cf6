"""o1-prune: the committed prediction, beside what a GET of the old Site shows."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.customresource import refusal, told

from .sites import sites


def prune(probe: Probe) -> Outcome:
    """o1-prune: committed first; then what a GET of the old Site shows, and who owns what in it."""
    predicted = probe.prediction
    if predicted is None:
        return not_yet(
            "o1-prune/not-committed",
            "No prediction has been committed.",
            "the record of your predictions",
            'Choose one of the four words and run `lab.predict("o1-prune", "...")`.',
        )
    custom = sites(probe, "o1-prune")
    answer = custom.read("early")
    if answer.status != 200:
        return not_yet(
            "o1-prune/no-site",
            f"There is no Site early to look at: {refusal(answer)}",
            f"GET {custom.path('early')}",
            "Run the cell below the prediction: it lives through the year.",
        )
    spec, metadata = answer.body["spec"], answer.body["metadata"]
    owned = [each["fieldsV1"].get("f:spec", {}) for each in metadata.get("managedFields") or []]
    if "probe" not in spec or any("f:probe" in each for each in owned):
        return not_yet(
            "o1-prune/other-site",
            "The Site early is not as the year left it: " + told(spec),
            f"Site early in {probe.namespace}",
            "Run the cell below the prediction once more.",
        )
    seen = "completed"
    verdict = "as predicted" if predicted == seen else f"predicted was `{predicted}`"
    return passed(
        f"`{seen}` ({verdict}): GET shows {told(spec)}. No manager owns the probe and the object is still at its "
        f"resourceVersion {metadata['resourceVersion']}, generation {metadata['generation']}: nobody wrote it.",
        f"GET {custom.path('early')}, against its managedFields",
    )
