"""o2-conflict: whether wool is lost when other writers come between, in memory and on the API server."""

from __future__ import annotations

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.interleaving import run_barns
from labsupport.course.lessons.pasture import Access, run_writers

SITUATIONS = range(14)
CONFLICT_LOOK = {
    "o2-conflict/lost-update": "After a 409, what you computed came from an old number. What must be done again?",
    "o2-conflict/lost-field": (
        "Only what you read together with its version, or the one key that you mean, may be written back."
    ),
    "o2-conflict/gives-up": (
        "A conflict is no failure: it says that somebody else was first. How often may that happen in a row?"
    ),
    "o2-conflict/never-succeeds": "Which version does the second attempt carry, and where does it come from?",
    "o2-conflict/retries-everything": "Which answers mean that another attempt can help, and which do not?",
    "o2-conflict/swallows": "The caller must hear of what is no conflict.",
    "o2-conflict/refused": "Look at the request that was refused, and at its body.",
    "o2-conflict/not-a-number": "data of a ConfigMap holds texts.",
}


def conflict_offline(probe: Probe) -> Outcome:
    """o2-conflict, in memory: other writers come between read and write, as often as it hurts."""
    with probe.function("add_wool", parameters=4) as call:
        call.limit = 20.0
        finding = call.drive(run_barns, [*SITUATIONS], about=f"{len(SITUATIONS)} generated situations")
    if finding is not None:
        look = CONFLICT_LOOK[f"o2-conflict/{finding.problem}"]
        return not_yet(f"o2-conflict/{finding.problem}", finding.text, "generated writers, in memory", look)
    return passed(f"{len(SITUATIONS)} generated situations lost nothing.", "generated writers, in memory")


def conflict_live(probe: Probe) -> Outcome:
    """o2-conflict, on the API server: two writers at once, and a third one that writes another key."""
    barn = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "barn"},
        "data": {"kilos": "0", "door": "shut"},
    }
    with probe.scratch() as namespace, probe.function("add_wool", parameters=4) as call:
        kube.apply(probe.api, [barn], namespace=namespace)
        call.limit = 20.0
        probe.progress("two writers at once")
        wool = call.drive(run_writers, Access.of(probe.api), namespace, "barn", about="two writers at once")
    if wool.found != wool.expected:
        return not_yet(
            "o2-conflict/lost-update",
            f"Two writers added wool at the same time, {wool.calls} times together, and "
            f"{wool.expected - wool.found} kilos of it are not in the barn.",
            "ConfigMap barn, data.kilos",
            CONFLICT_LOOK["o2-conflict/lost-update"],
        )
    if wool.door:
        return not_yet(
            "o2-conflict/lost-field",
            "A third writer's last word on data.door is gone.",
            "ConfigMap barn, data.door",
            CONFLICT_LOOK["o2-conflict/lost-field"],
        )
    return passed(
        f"Two writers added wool {wool.calls} times at the same time, and all of it is there. {wool.conflicts} writes "
        "were answered with 409 and done again.",
        "ConfigMap barn, data.kilos and data.door",
    )
