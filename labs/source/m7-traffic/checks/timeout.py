"""m7-timeout: Pods are slow, then hang; how long callers wait, and who answers them."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .traffic import GATEWAY_API, concerns, in_force, load, pods, set_faults

URL = "http://inventory/stock/tea"
WHOLE, TRY = 1000.0, 300.0  # milliseconds that are asked for
SLOW, HANGS = 150.0, 2000.0  # milliseconds of Pods that are slow but well, and of those that hang
PATIENT, ALL_HANG, ONE_HANGS, PORTION = 6, 4, 36, 12  # requests of the three rounds, the last one in portions
CONNECTIONS = 2  # in the last round one: with nothing open, each Pod is drawn alike
# A machine that is busy only adds to a time. So who waits too long is told by the shortest wait of a round, and who
# gives up too early by the longest. Between them: two tries end after 600 ms, four of them after 1,200.
TOO_LONG, TOO_SHORT = 1120.0, 800.0
TRY_TOO_LONG = 550.0
# Of ONE_HANGS requests a third meets the Pod that hangs. If none of those is made again, so few fail once in 100,000
# times; if all are, a request fails when it is drawn there with three tries, though each looks for another Pod.
FEW = 1


class Rounds(NamedTuple):
    """What callers saw: answers of slow Pods; waits (ms) while all hang; failures and waits while one does."""

    answered: int
    all_hang: tuple[float, ...]
    failed: int
    one_hangs: tuple[float, ...]

    @property
    def met(self) -> tuple[float, ...]:
        """The waits of those who met the Pod that hangs."""
        return tuple(each for each in self.one_hangs if each > SLOW)


def told(seen: Rounds) -> str:
    """The finding, or "" if there is none."""
    if seen.answered < PATIENT:
        return "impatient"
    if min(seen.all_hang) > TOO_LONG:
        return "waits"
    if max(seen.all_hang) < TOO_SHORT:
        return "gives-up"
    if seen.failed > FEW:
        return "not-again"
    return "holds-on" if seen.met and statistics.median(seen.met) > TRY_TOO_LONG else ""


def timeout(probe: Probe) -> Outcome:
    """m7-timeout: three rounds of requests, while Pods are slow, all hang, and one hangs."""
    found = pods(probe, "app=inventory")
    if len(found) != 3:
        return not_yet(
            "m7-timeout/not-three",
            f"Of the inventory {len(found)} Pods are ready.",
            "Pods with the label app=inventory",
            "The service must survive with its three Pods as they are: none is to be taken away.",
        )
    in_force(probe, "m7-timeout", "inventory")
    try:
        return _judged(probe, _rounds(probe, found))
    finally:
        for pod in found:
            set_faults(probe, pod, "inventory", latency_ms=0.0)


def _rounds(probe: Probe, found: list[str]) -> Rounds:
    """The rounds up to the first that says enough."""
    for pod in found:
        set_faults(probe, pod, "inventory", error_rate=0.0, latency_ms=SLOW)
    answered = load(probe, URL, requests=PATIENT, connections=CONNECTIONS).ok
    if told(seen := Rounds(answered, (WHOLE,), 0, ())):
        return seen
    for pod in found:
        set_faults(probe, pod, "inventory", latency_ms=HANGS)
    came = load(probe, URL, requests=ALL_HANG, connections=CONNECTIONS)
    if told(seen := Rounds(answered, tuple(came.latency_ms), 0, ())):
        return seen
    for pod in found[1:]:
        set_faults(probe, pod, "inventory", latency_ms=0.0)
    while len(seen.one_hangs) < ONE_HANGS and not told(seen):
        came = load(probe, URL, requests=PORTION)
        seen = seen._replace(
            failed=seen.failed + PORTION - came.ok, one_hangs=(*seen.one_hangs, *came.latency_ms)
        )
    return seen


def _judged(probe: Probe, seen: Rounds) -> Outcome:
    match told(seen):
        case "impatient":
            return not_yet(
                "m7-timeout/impatient",
                f"All Pods answer after {SLOW:.0f} ms. Of {PATIENT} requests {seen.answered} were answered.",
                f"{PATIENT} requests to the inventory, whose Pods are slow and well",
                "Which of your limits is shorter than an answer takes?",
            )
        case "waits":
            return _waits(probe, seen)
        case "gives-up":
            return not_yet(
                "m7-timeout/gives-up",
                f"All Pods hang. Callers had an error after {max(seen.all_hang):.0f} ms at the latest, when there was "
                "time left for another try.",
                f"{ALL_HANG} requests to the inventory, whose Pods hang",
                "How often is a request made again, and after what? No answer in time is no error that a Pod has sent.",
            )
        case "not-again":
            return not_yet(
                "m7-timeout/not-again",
                f"One Pod hangs. Of {len(seen.one_hangs)} requests {seen.failed} failed, with two Pods that are well.",
                f"{len(seen.one_hangs)} requests to the inventory, of whose three Pods one hangs",
                "The whole has a limit. What ends a try, and what begins the next?",
            )
        case "holds-on":
            return not_yet(
                "m7-timeout/holds-on",
                f"One Pod hangs. Callers that met it were answered after {statistics.median(seen.met):.0f} ms (the "
                "middle one).",
                f"{len(seen.one_hangs)} requests to the inventory, of whose three Pods one hangs",
                "How long is one try waited for?",
            )
    met = f"{len(seen.met)} met it" + (
        f", for {statistics.median(seen.met):.0f} ms (the middle one)" if seen.met else ""
    )
    return passed(
        f"While all Pods hang, callers have their error after {min(seen.all_hang):.0f} ms. While one hangs, "
        f"{ONE_HANGS - seen.failed} of {ONE_HANGS} requests are answered, and {met}.",
        f"{PATIENT + ALL_HANG + ONE_HANGS} requests in three rounds: Pods slow, all hang, one hangs",
    )


def _waits(probe: Probe, seen: Rounds) -> Outcome:
    here = any(concerns(each, "inventory") for each in probe.list(GATEWAY_API, "HTTPRoute"))
    elsewhere = kube.list_objects(probe.api, GATEWAY_API, "HTTPRoute")
    if not here and any(concerns(each, "inventory") for each in elsewhere):
        return not_yet(
            "m7-timeout/other-namespace",
            "There is an HTTPRoute of a Service inventory, in another namespace than this one.",
            f"HTTPRoutes in {probe.namespace}",
            "A route in another namespace holds for the clients there.",
        )
    return not_yet(
        "m7-timeout/waits",
        f"All Pods hang. No caller waited for less than {min(seen.all_hang):.0f} ms.",
        f"{ALL_HANG} requests to the inventory, whose Pods hang",
        "What limits the whole of a request, all of its tries together?",
    )
