"""What the checks of several exercises ask: the calls that are needed, those that are not, and who is let through."""

from __future__ import annotations

import time
from collections.abc import Iterable

from labsupport import kube
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons.callers import Answer, Call, call, make
from labsupport.errors import LabsError
from labsupport.mesh import names

API_VERSION = f"{names.GROUP}/v1alpha1"
POLICY = "AuthorizationPolicy"
SETTLES = 3.0  # seconds for a policy that was just applied to be in force everywhere
PAUSE = 0.2

# What the shop lives from.
NEEDED = (
    call("load", "GET http://web/buy/tea"),
    call("web", "POST http://orders/orders"),
    call("web", "GET http://news/today"),
    call("orders", "GET http://inventory/stock/cups"),
    call("orders", "POST http://payments/charges"),
    call("orders", "GET http://payments/ledger"),
)
# What nobody needs: by others, by the same with another method, at another path, or at a service that is not theirs.
NEEDLESS = (
    call("intern", "GET http://payments/ledger"),
    call("intern", "DELETE http://payments/ledger"),
    call("intern", "GET http://payments/counters"),
    call("stranger", "GET http://payments/ledger"),
    call("intern", "GET http://news/today"),
    call("intern", "POST http://orders/orders"),
    call("stranger", "GET http://web/buy/tea"),
    call("stranger", "GET http://inventory/stock/tea"),
    call("load", "POST http://orders/orders"),
    call("load", "PUT http://web/faults"),
    call("load", "GET http://news/today"),
    call("web", "POST http://payments/charges"),
    call("web", "GET http://orders/counters"),
    call("web", "DELETE http://news/today"),
    call("orders", "DELETE http://payments/ledger"),
    call("orders", "PUT http://inventory/faults"),
    call("orders", "GET http://news/today"),
    # What is allowed at one door, at another.
    call("load", "GET http://news/buy/tea"),
    call("web", "POST http://payments/orders"),
    call("web", "GET http://inventory/today"),
    call("orders", "GET http://news/stock/tea"),
    call("orders", "POST http://inventory/charges"),
    call("orders", "GET http://news/ledger"),
    call("inventory", "POST http://payments/charges"),
    call("news", "GET http://inventory/stock/tea"),
)


def made(probe: Probe, calls: Iterable[Call]) -> list[Answer]:
    """The calls, made. Errors: Rejected if one of the callers does not run."""
    try:
        return make(probe.api, probe.namespace, calls)
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m6/no-caller",
                error.what,
                f"Pods in {probe.namespace}",
                'The callers are part of the lab: `lab.start("m6")` brings them back.',
            )
        ) from error


def settled(probe: Probe, calls: Iterable[Call], wanted: bool) -> list[Answer]:
    """Those of the calls that are not as `wanted` (let through or not), also once a change just made is in force."""
    began, left = time.monotonic(), list(calls)
    while wrong := [each for each in made(probe, left) if each.through is not wanted]:
        if time.monotonic() - began > SETTLES:
            return wrong
        left = [each.call for each in wrong]
        time.sleep(PAUSE)  # what proxies have in force cannot be watched from here
    return []


def policies_elsewhere(probe: Probe) -> bool:
    """Whether another namespace has policies that may be the learner's: not one of another lab, or another learner."""
    found = {each["metadata"]["namespace"] for each in kube.list_objects(probe.api, API_VERSION, POLICY)}
    for name in found - {probe.namespace}:
        labels = (kube.get(probe.api, "v1", "Namespace", name) or {"metadata": {}})["metadata"].get(
            "labels"
        ) or {}
        if all(labels.get(key, value) == value for key, value in probe.world.labels.items()):
            return True
    return False


def told(answers: list[Answer]) -> str:
    """The first of them, and how many more."""
    first = f"{answers[0].call}: {answers[0]}"
    return first if len(answers) == 1 else f"{first} (and {len(answers) - 1} more)"
