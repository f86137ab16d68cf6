"""The shop of the lab as the checks of several exercises use it: its load generator, a purchase, and the learner's own
orders.
"""

from __future__ import annotations

import time
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons import traffic
from labsupport.errors import LabsError

Object = dict[str, Any]
DEPLOYED = "caller"
UNREACHED = "orders: orders:80:"  # begins what web says when orders did not take its connection
FOLLOWS = 3.0  # seconds for kube-proxy; packet rules cannot be watched
PAUSE = 0.1


def load(probe: Probe, url: str, **plan: Any) -> traffic.Load:
    try:
        return traffic.run(probe.api, probe.namespace, url, **plan)
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m1/no-load-generator",
                error.what,
                f"Service load in {probe.namespace}",
                'The load generator is part of the lab\'s start: `lab.start("M1")`.',
            )
        ) from error


def buy(probe: Probe) -> tuple[Object, bool]:
    """One purchase through web: what orders said, and whether it succeeded.

    After a change of orders its Pods are Ready before kube-proxy leads there: a purchase that does not reach orders at
    all is tried again for a while.
    """
    began = time.monotonic()
    while True:
        order, bought = _buy_once(probe)
        if bought or UNREACHED not in str(order["error"]) or time.monotonic() - began > FOLLOWS:
            return order, bought
        time.sleep(PAUSE)


def _buy_once(probe: Probe) -> tuple[Object, bool]:
    path = f"/api/v1/namespaces/{probe.namespace}/services/web:80/proxy/buy/tea"
    try:
        answer = kube.request(probe.api, "GET", path, timeout=probe.left(10.0))
        return dict(answer["order"]), True
    except kube.Refused as error:
        return {"error": error.what}, False
    except (ValueError, TypeError, KeyError) as error:
        return {"error": f"an answer that is none: {error}"}, False


def own_orders(probe: Probe) -> None:
    """Errors: Rejected unless purchases are taken by the learner's orders, and by it alone."""
    if probe.deployed(DEPLOYED) is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                "Your function is right, and it is not on the cluster yet.",
                f"Deployment {DEPLOYED} in {probe.namespace}",
                "Run the cell with `lab.deploy`.",
            )
        )
    ours = probe.get("apps/v1", "Deployment", "orders")
    if ours is not None and ours["spec"].get("replicas", 1):
        raise Rejected(
            not_yet(
                "m1/two-orders",
                "The shop's own orders is still running beside yours, and takes part of the purchases.",
                "Deployment orders, spec.replicas",
                "Run the cell with `lab.deploy`: it lets the other step aside first.",
            )
        )


def own_errors(probe: Probe) -> str:
    deployed = probe.deployed(DEPLOYED)
    errors = deployed.errors() if deployed else []
    return f" Your function raised: {errors[-1]}." if errors else ""


def environment_of(deployment: Object | None) -> dict[str, str]:
    if deployment is None:
        return {}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "") for each in container.get("env") or []}
