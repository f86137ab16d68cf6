"""m7-outlier: one Pod is broken and mended; customers notice little, and it is asked less, then again."""

from __future__ import annotations

import time

from labsupport.course.exercise import Outcome, Probe, not_yet, passed

from .traffic import in_force, load, pods, requests_of, set_faults

URL = "http://inventory/stock/tea"
REQUESTS, RATE = 600, 150
# Failed requests of REQUESTS, and tries at the broken Pod, that are few: some 20 with a Pod that is left alone, and 70
# on a machine so busy that a proxy is late to leave it alone; a third, 200, without anything done about it.
NOTICED, ASKED = 140, 140
BACK = 15.0  # seconds within which a Pod that is well again must be asked again


def told(failed: int, asked: int) -> str:
    """The finding, or "": of REQUESTS so many failed, and the broken Pod was asked so often."""
    if failed > NOTICED:
        return "noticed"
    return "hidden" if asked > ASKED else ""


def outlier(probe: Probe) -> Outcome:
    """m7-outlier: what becomes of requests while one of three Pods fails all, and after it."""
    found = pods(probe, "app=inventory")
    if len(found) != 3:
        return not_yet(
            "m7-outlier/not-three",
            f"Of the inventory {len(found)} Pods are ready.",
            "Pods with the label app=inventory",
            "The service must survive with its three Pods as they are: none is to be taken away.",
        )
    in_force(probe, "m7-outlier", "inventory")
    ill = found[0]
    where = f"{REQUESTS} requests to the inventory, of whose three Pods one answers nothing but 503"
    for pod in found:
        set_faults(probe, pod, "inventory", error_rate=0.0, latency_ms=0.0)
    try:
        set_faults(probe, ill, "inventory", error_rate=1.0)
        came = load(
            probe, URL, requests=60, rate=RATE
        )  # a policy that was just applied is in force after these
        before = requests_of(probe, ill, "inventory")
        came = load(probe, URL, requests=REQUESTS, connections=4, rate=RATE)
        asked = requests_of(probe, ill, "inventory") - before
    finally:
        set_faults(probe, ill, "inventory", error_rate=0.0)
    failed = REQUESTS - came.ok
    finding = told(failed, asked)
    if finding == "noticed":
        return not_yet(
            "m7-outlier/noticed",
            f"{failed} of {REQUESTS} requests failed; the broken Pod had {asked}.",
            where,
            "Does the mesh take your policy (`labs kubectl get trafficpolicies`), and after how many errors is a Pod "
            "left alone?",
        )
    if finding == "hidden":
        return not_yet(
            "m7-outlier/hidden",
            f"Only {failed} of {REQUESTS} requests failed, but the broken Pod was asked {asked} times.",
            where,
            "Customers notice nothing, and each third request is made twice. What would stop asking the Pod?",
        )
    began = time.monotonic()
    while time.monotonic() - began < min(BACK, probe.left()):
        if ill in load(probe, URL, requests=60, connections=4, rate=RATE).by_pod:
            return passed(
                f"{failed} of {REQUESTS} requests failed, the broken Pod had {asked}; mended, it was asked again "
                f"after {time.monotonic() - began:.1f} s.",
                where,
            )
    return not_yet(
        "m7-outlier/never-back",
        f"{failed} of {REQUESTS} requests failed. {BACK:.0f} s after the Pod was well again, it still was not asked.",
        where,
        "How long is a Pod left alone, and how often does the proxy look whether that time is over?",
    )
