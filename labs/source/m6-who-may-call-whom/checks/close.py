"""m6-close: no attack gets through, and who needs payments is served."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.callers import call

from .attacks import ATTACKS, open_holes
from .shop import API_VERSION, POLICY, policies_elsewhere, settled, told

NEEDED = (
    call("orders", "POST http://payments/charges"),
    call("orders", "GET http://payments/ledger"),
    call("load", "GET http://web/buy/tea"),
)
# What the ten attacks do not try: the next caller, and the next path.
MORE = (
    call("news", "GET http://payments/ledger"),
    call("intern", "PUT http://payments/faults"),
    call("stranger", "POST http://payments/charges"),
    call("web", "OPTIONS http://payments/ledger"),
)


def close(probe: Probe) -> Outcome:
    """m6-close: attacks, needed calls, and attacks that were not in the table."""
    policies = probe.list(API_VERSION, POLICY)
    mine = [each for each in policies if each["metadata"]["name"] != "ledger"]
    where = f"{len(ATTACKS)} attacks of the table, {len(MORE)} others, {len(NEEDED)} calls that are needed"
    if refused := settled(probe, NEEDED, True):
        return not_yet(
            "m6-close/needed-refused",
            f"{told(refused)}. That call is needed.",
            where,
            "Of payments' callers one is honest. What does it ask, and which of your rules lets it?",
        )
    if still := sorted(open_holes(probe)):
        if not mine and policies_elsewhere(probe):
            return not_yet(
                "m6-close/other-namespace",
                f"Still open: {', '.join(still)}. There are policies in another namespace than this one.",
                where,
                "A policy concerns the Pods of the namespace that it is in.",
            )
        if any(each["spec"].get("mode", "Enforce") != "Enforce" for each in mine):
            return not_yet(
                "m6-close/audit",
                f"Still open: {', '.join(still)}. There are policies whose mode is Audit.",
                where,
                "In that mode a policy tells what it would do, and does nothing.",
            )
        return not_yet(
            "m6-close/open",
            f"Still open: {', '.join(still)}.",
            where,
            "Is it a caller without a name, or something that no rule mentions? What decides about what no rule "
            "mentions, while policies forbid; and once one of them allows?",
        )
    if more := settled(probe, MORE, False):
        return not_yet(
            "m6-close/next-one",
            f"The ten attacks are refused, and an eleventh is not: {told(more)}.",
            where,
            "A list of what is forbidden is never complete. Which kind of list is?",
        )
    return passed(
        f"The {len(ATTACKS)} attacks and {len(MORE)} others are refused; orders charges and reads the ledger, and the "
        "shop sells.",
        where,
    )
