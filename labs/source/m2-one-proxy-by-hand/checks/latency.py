"""m2-latency: the committed prediction, beside a short measurement."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons import comparison
from labsupport.errors import LabsError


def latency(probe: Probe) -> Outcome:
    """m2-latency: a number is committed; then it is compared with a short measurement."""
    predicted = probe.prediction
    if predicted is None:
        return not_yet(
            "m2-latency/not-committed",
            "There is no prediction yet.",
            "your prediction",
            "`lab.predict(...)` with this exercise's id and a number of milliseconds.",
        )
    try:
        seen = comparison.compare(
            probe.api,
            probe.namespace,
            {"directly": "http://web/", "through Envoy": "http://proxy/"},
            seconds=0.5,
            rounds=2,
        )
        words = (
            f"just now the median was {seen.percentile('directly', 50):.2f} ms directly and "
            f"{seen.percentile('through Envoy', 50):.2f} ms through Envoy: {seen.added(50):+.2f} ms; "
            f"p99 {seen.added(99):+.2f} ms"
        )
    except LabsError as error:
        words = f"nothing could be measured just now ({error.what.splitlines()[0]})"
    return passed(
        f"You predicted {predicted:.3g} ms; {words}.", "your prediction, and two short rounds each way"
    )
