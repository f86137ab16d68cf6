"""o2-watch: the cache that the learner's function keeps, compared after each event of histories in memory and on the
API server.
"""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.histories import Report, generated, run_history, summary
from labsupport.course.lessons.pasture import Access, run_live_watch

HISTORIES = range(24)
WATCH_LOOK = {
    "o2-watch/ghost": "A list tells all that there is. What became of the names that were in the cache before it?",
    "o2-watch/lost-update": (
        "Which type of event is not handled, or handled too late? Every event counts when it arrives."
    ),
    "o2-watch/stale": "What does a MODIFIED event bring, and what does the cache hold afterwards?",
    "o2-watch/old-version": "Each event's object carries the resourceVersion from which to go on after it.",
    "o2-watch/ignores-bookmark": "A BOOKMARK is about no object. What is it for?",
    "o2-watch/no-version": "`watch_flocks` takes the version from which to go on.",
    "o2-watch/no-list-after-expiry": (
        "What happened since the forgotten version can no longer be told. What can still be asked?"
    ),
    "o2-watch/lists-again": (
        "A connection that ends has lost nothing: the next watch can begin where the last one stopped."
    ),
    "o2-watch/not-objects": "The cache maps a name to the object as the list or the event had it.",
    "o2-watch/returned": "A watch ends every few minutes. The function is to go on.",
}


def watch_offline(probe: Probe) -> Outcome:
    """o2-watch, in memory: the cache is right after every event of histories that nobody has seen."""
    reports = {}
    with probe.function("follow", parameters=3) as call:
        for seed in HISTORIES:
            report = call.drive(run_history, generated(seed), about=_history(seed))
            if report.problem:
                return _watching(report, f"generated history {seed + 1} of {len(HISTORIES)}")
            reports[seed] = report
    return passed(f"The cache was right after each event of {summary(reports)}.", "generated histories")


def _history(seed: int) -> str:
    return f"a history of {len(generated(seed))} steps: " + ", ".join(
        " ".join(step) for step in generated(seed)
    )


def watch_live(probe: Probe) -> Outcome:
    """o2-watch, on the API server: Flocks come and go in a namespace of the check's own."""
    with probe.scratch() as namespace, probe.function("follow", parameters=3) as call:
        call.limit = 20.0
        probe.progress("Flocks come and go, the connection breaks, a version expires")
        arguments = (Access.of(probe.api), probe.world.group, namespace)
        report = call.drive(run_live_watch, *arguments, about="Flocks that come and go on the API server")
    if report.problem:
        return _watching(report, f"Flocks in {namespace}, on the API server")
    return passed(
        f"The cache was right after each event of {len(HISTORIES)} generated histories, and on the API server after "
        f"{report.events} events in {report.watches} watches, of which one was answered with 410.",
        "the cache, compared after each event",
    )


def _watching(report: Report, decided_by: str) -> Outcome:
    problem = report.problem
    return not_yet(f"o2-watch/{problem}", report.text, decided_by, WATCH_LOOK[f"o2-watch/{problem}"])
