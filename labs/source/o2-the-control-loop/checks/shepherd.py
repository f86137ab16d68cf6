"""The learner's deployed shepherd, which the checks of two exercises attack: where it is, how long it may take, and
where it says what went wrong.
"""

from __future__ import annotations

from labsupport.course.deploy import Deployed
from labsupport.course.exercise import Probe, Rejected, not_yet

CONVERGE = 8.0  # seconds for a controller to bring a flock into order; it takes less than one
SHEPHERD = "shepherd"
FAILS = "`lab.deploy` returned an object with the shepherd's log and its errors."


def deployed(probe: Probe) -> Deployed:
    shepherd = probe.deployed(SHEPHERD)
    if shepherd is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                "No shepherd runs in your namespace.",
                f"Deployment {SHEPHERD} in {probe.namespace}",
                "The last line of the exercise's cell deploys your function.",
            )
        )
    return shepherd
