"""o4-ceremony: a function that judges deals, on dealers of every kind."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.dealing import run_received

SEEDS = range(36)
LOOK = {
    "no-answer": "Three values, in this order: the dealers that are named, your share, the public key.",
    "honest-blamed": (
        "Compute both sides of the check for an honest dealer, and a `me` that is not 1: which power of `me` belongs "
        "to which point?"
    ),
    "wrong-share": "What does the commitment say that this share must be? Compare it with what was sent.",
    "length": "How many coefficients has the polynomial of a dealer that keeps to the plan?",
    "silent": "`dealt` has None for a dealer that has sent nothing.",
    "share": "Whose shares may be in your sum?",
    "public": "Which of the points of a commitment belongs to the secret that was dealt?",
}


def ceremony(probe: Probe) -> Outcome:
    """o4-ceremony: who is named, what the share is, what the public key is."""
    with probe.function("receive", parameters=3) as call:
        call.limit = 20.0
        finding = call.drive(run_received, [*SEEDS], about=f"the deals of {len(SEEDS)} generated ceremonies")
    if finding is not None:
        look = LOOK[finding.problem]
        return not_yet(f"o4-ceremony/{finding.problem}", finding.text, "generated deals", look)
    return passed(
        f"In {len(SEEDS)} generated ceremonies the right dealers were named, and share and public key belong together.",
        "generated deals",
    )
