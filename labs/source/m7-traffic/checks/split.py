"""m7-split: testers get the new version, and one customer in ten."""

from __future__ import annotations

import time

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.traffic import Load

from .chance import bounds
from .traffic import load

API_VERSION = "gateway.networking.k8s.io/v1"
SHARE, REQUESTS, TESTS = 0.1, 1500, 60
TESTER = "x-tester: yes"
SETTLES = 2.0  # seconds for a route that was just applied to be in force


def split(probe: Probe) -> Outcome:
    """m7-split: real requests with the header and without."""
    routes = [each for each in probe.list(API_VERSION, "HTTPRoute") if _of_web(each)]
    where = f"{REQUESTS} requests to web as customers send them, {TESTS} with {TESTER}"
    if not routes:
        other = any(_of_web(each) for each in kube.list_objects(probe.api, API_VERSION, "HTTPRoute"))
        if other and not probe.list(API_VERSION, "HTTPRoute"):
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
    for each in routes:
        conditions = [
            one for parent in (each.get("status") or {}).get("parents") or [] for one in parent["conditions"]
        ]
        if bad := [one for one in conditions if one["status"] == "False"]:
            return not_yet(
                "m7-split/not-taken",
                f"HTTPRoute {each['metadata']['name']}: {bad[0]['type']} is False: {bad[0]['message']}",
                "its status",
                "The status says what the mesh could not do with it.",
            )
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
    if seen != TESTS:
        return not_yet(
            "m7-split/testers",
            f"Of {TESTS} requests with {TESTER}, version 2 answered {seen}.",
            where,
            "A request is taken by the most specific rule that matches it. Which of your rules takes a tester's?",
        )
    new = int(customers.result["by_version"].get("2", 0))
    low, high = bounds(REQUESTS, SHARE)
    if not low <= new <= high:
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


def _of_web(route: kube.objects.Object) -> bool:
    parents = route["spec"].get("parentRefs") or []
    return any(each.get("kind") == "Service" and each["name"] == "web" for each in parents)
