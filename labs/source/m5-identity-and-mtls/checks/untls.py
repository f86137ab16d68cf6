"""m5-untls: whether any TLS of the services' own is left, and what their wire shows during a purchase."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import wire
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.patience import patient

from .proxy import ready_pod
from .shop import SETTLES, still_plaintext

Object = dict[str, Any]
CALLER = "caller"  # what lab.deploy called M1's orders
READY = patient(15.0)  # seconds for Pods that were just made
CHARGE = b"/charges"  # in what orders says to payments
BUY = ["curl", "-s", "-m", "8", "http://localhost:8080/buy/tea"]


def untls(probe: Probe) -> Outcome:
    """m5-untls: no TLS in the services, and all the same none of their words on the wire."""
    payments = probe.get("apps/v1", "Deployment", "payments")
    if payments is None:
        return not_yet(
            "m5-untls/no-payments",
            "There is no Deployment payments"
            + (", but one in another namespace." if _elsewhere(probe) else "."),
            f"Deployments in {probe.namespace}",
            "The shop is to buy as before, in its own namespace.",
        )
    if left := _left(probe, payments):
        return not_yet(
            "m5-untls/left-over",
            f"Still there: {'; '.join(left)}.",
            f"Deployments, Services and Secrets in {probe.namespace}",
            "Go through what the cell with M1's TLS applied, from the Secret to the caller.",
        )
    pod = ready_pod(probe, "web")
    if not pod:
        raise LabsError("The front door web has no Pod that is ready.", fix='lab.start("m5", at="m5-untls")')
    waited = _settle(probe)
    order = _buy(probe, pod)
    began = time.monotonic()
    while waited and "amount" not in (order.get("charge") or {}) and time.monotonic() - began < SETTLES:
        order = _buy(probe, pod)  # that a Pod is ready reaches the proxies a moment later
    if "amount" not in (order.get("charge") or {}):
        return not_yet(
            "m5-untls/no-purchase",
            f"A purchase failed: {str(order.get('error') or order)[:200]}.",
            "GET http://web/buy/tea",
            "Follow it: which port does orders call, what stands behind the Service, is its Pod ready?",
        )
    for seconds in (1.0, 5.0):  # on a busy machine a purchase may come after the end of a short look
        taken = wire.watch(
            probe.api, probe.namespace, "payments", lambda address: _buy(probe, pod), seconds=seconds
        )
        # The kubelet asks a Pod without a proxy how it is, in the clear: that is no word of the shop's.
        if any((each.encrypted and each.back) or CHARGE in each.there for each in taken.conversations):
            break
    where = f"{taken.size} bytes on the wire of {taken.pod} during a purchase"
    spoken = [each for each in taken.plain() if CHARGE in each.there]
    if spoken:
        return not_yet(
            "m5-untls/in-the-clear",
            f"{spoken[0].client} sent its charge in the clear: {spoken[0].reading}",
            where,
            "A proxy encrypts on both sides or not at all. Has each of the two Pods one, and does it take this port?",
        )
    if got := still_plaintext(probe, "payments", "/ledger", _port(probe)):
        return not_yet(
            "m5-untls/answers-anybody",
            f"A caller in the clear got {got} from payments.",
            "GET http://payments/ledger, by way of the API server",
            "What does the PeerAuthentication say of this port?",
        )
    return passed(
        "A purchase went through, payments and orders have no TLS of their own, none of their words could be read on "
        "the wire, and a caller in the clear is refused.",
        where,
    )


def _left(probe: Probe, payments: Object) -> list[str]:
    """What there is of M1's TLS."""
    found = []
    container = payments["spec"]["template"]["spec"]["containers"][0]
    if any(each["name"].startswith("TLS_") for each in container.get("env") or ()):
        found.append("payments is told of a certificate (its environment)")
    if any("secret" in each for each in payments["spec"]["template"]["spec"].get("volumes") or ()):
        found.append("payments mounts a Secret")
    if probe.get("v1", "Secret", "payments-tls"):
        found.append("the Secret payments-tls")
    if probe.deployed(CALLER):
        found.append("orders with a TLS context of its own (the Deployment caller)")
    orders = probe.get("apps/v1", "Deployment", "orders") or {}
    environment = orders["spec"]["template"]["spec"]["containers"][0].get("env") or () if orders else ()
    if any("https" in str(each.get("value", "")) for each in environment):
        found.append("orders calls payments by https")
    return found


def _settle(probe: Probe) -> bool:
    """Wait for the Pods of payments and orders, if there are to be any; whether that was needed."""
    began = time.monotonic()
    for name in ("payments", "orders"):
        if probe.get("apps/v1", "Deployment", name):
            target = kube.Target("apps/v1", "Deployment", name, probe.namespace)
            with contextlib.suppress(kube.wait.TimedOut):
                left = began + READY - time.monotonic()
                kube.until(
                    probe.api, target, kube.ready, timeout=probe.left(max(0.1, left)), progress=probe.progress
                )
    return time.monotonic() - began > 1.0


def _port(probe: Probe) -> int:
    """The port of the Service payments."""
    service = probe.get("v1", "Service", "payments") or {"spec": {}}
    return next((int(each["port"]) for each in service["spec"].get("ports") or ()), 80)


def _buy(probe: Probe, pod: str) -> Object:
    """A purchase as a customer at the front door makes it: what orders said, or the error."""
    try:
        said = execute(probe.api, probe.namespace, pod, BUY, timeout=probe.left(12.0))
    except kube.Unreachable:
        raise
    except LabsError as error:
        raise Rejected(
            not_yet(
                "m5-untls/no-purchase",
                f"A purchase got no answer: {error.what[:160]}",
                "GET http://web/buy/tea",
                "Which of the services on the way has no Pod that is ready?",
            )
        ) from error
    try:
        answer = json.loads(said)
        order = answer.get("order")
        return dict(order) if isinstance(order, dict) else dict(answer)
    except (ValueError, TypeError):
        return {"error": said.strip()[:160] or "no answer"}


def _elsewhere(probe: Probe) -> bool:
    found = kube.list_objects(probe.api, "apps/v1", "Deployment")
    return any(
        each["metadata"]["name"] == "payments" and each["metadata"]["namespace"] != probe.namespace
        for each in found
    )
