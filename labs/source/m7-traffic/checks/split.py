"""m7-split: testers get the new version, and one customer in ten."""

from __future__ import annotations

import time

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.traffic import Load

from .chance import bounds, fits
from .traffic import GATEWAY_API, SETTLES, concerns, in_force, load

SHARE, REQUESTS, TESTS = 0.1, 2000, 200
# Shares and testers' shares that a wrong answer has, nearest to the right ones: half and twice as many customers, nine
# in ten testers. They are taken for right at most once in 10,000 times.
NEAREST, NEAREST_TESTS = (0.05, 0.2), 0.9
TESTER = "x-tester: yes"


def told(tests: int, customers: int) -> str:
    """The finding, or "" if there is none: how many of TESTS and of REQUESTS version 2 answered."""
    if tests != TESTS:
        return "testers"
    return "" if fits(REQUESTS, customers, SHARE) else "share"


def split(probe: Probe) -> Outcome:
    """m7-split: real requests with the header and without."""
    routes = [each for each in probe.list(GATEWAY_API, "HTTPRoute") if concerns(each, "web")]
    where = f"{REQUESTS} requests to web as customers send them, {TESTS} with {TESTER}"
    if not routes:
        other = any(concerns(each, "web") for each in kube.list_objects(probe.api, GATEWAY_API, "HTTPRoute"))
        if other and not probe.list(GATEWAY_API, "HTTPRoute"):
            return not_yet(
                "m7-split/other-namespace",
                "There is an HTTPRoute of a Service web, in another namespace than this one.",
                f"HTTPRoutes in {probe.namespace}",
                "A route in another namespace holds for the clients there.",
            )
        return not_yet(
            "m7-split/no-route",
            "No HTTPRoute here has the Service web as its parent.",
            f"HTTPRoutes in {probe.namespace}",
            "What does a route have to be attached to, so that it holds for calls of http://web?",
        )
    in_force(probe, "m7-split", "web")
    tests = _tests(probe)
    customers = load(probe, "http://web/", requests=REQUESTS, connections=8)
    if failed := REQUESTS + TESTS - tests.ok - customers.ok:
        return not_yet(
            "m7-split/fails",
            f"{failed} requests failed: {customers.result['by_status']}, with the header {tests.result['by_status']}.",
            where,
            "Where do requests go that none of your rules takes, and do all backends exist?",
        )
    seen = int(tests.result["by_version"].get("2", 0))
    new = int(customers.result["by_version"].get("2", 0))
    finding = told(seen, new)
    if finding == "testers":
        return not_yet(
            "m7-split/testers",
            f"Of {TESTS} requests with {TESTER}, version 2 answered {seen}.",
            where,
            "A request is taken by the most specific rule that matches it. Which of your rules takes a tester's?",
        )
    if finding == "share":
        low, high = bounds(REQUESTS, SHARE)
        return not_yet(
            "m7-split/share",
            f"Of {REQUESTS} customers' requests, version 2 answered {new}. With the share that is wanted it would be "
            f"{low} to {high}, but for once in 100,000 times.",
            where,
            "Weights are shares of their sum.",
        )
    return passed(
        f"Version 2 answered all {TESTS} requests of testers and {new} of {REQUESTS} of customers.", where
    )


def _tests(probe: Probe) -> Load:
    """Requests of testers, again until version 2 answers them all: a new route is not in force at once."""
    began = time.monotonic()
    while True:
        came = load(probe, "http://web/", requests=TESTS, connections=2, header=TESTER)
        if came.result["by_version"].get("2") == TESTS or time.monotonic() - began > SETTLES:
            return came
