"""m5-revoke: whether load gets answers on connections that its proxy has kept, and on new ones; and everybody else."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.wire import pod_of

from .shop import CALLERS, complaints, has_proxy, load, pods, served

REQUESTS = 6


def revoke(probe: Probe) -> Outcome:
    """m5-revoke: load is nobody any more, for all who are asked; the others are not disturbed."""
    if trouble := complaints(probe):
        told = "; ".join(f"{who} at {what}" for who, what in sorted(trouble.items()))
        return not_yet(
            "m5-revoke/others-suffer",
            f"Others lost a request: {told}.",
            "ConfigMap complaints",
            'Whose connections were closed, and how? `lab.start("m5", at="m5-revoke")` begins anew.',
        )
    if unserved := [app for app in CALLERS if not served(probe, app)]:
        return not_yet(
            "m5-revoke/others-suffer",
            f"{', '.join(unserved)} got no answer since its Pod began.",
            f"Pods of {', '.join(unserved)}",
            "Only load was to lose its identity.",
        )
    if not pods(probe, "load") or not all(has_proxy(each) for each in pods(probe, "load")):
        return not_yet(
            "m5-revoke/load-touched",
            "load does not run any more as it did: it has no Pod, or one without a proxy.",
            "Pods with the label app=load",
            "In an attack, the Pod is what the attacker has. It stays as it is; what is taken away lies elsewhere.",
        )
    account = probe.get("v1", "ServiceAccount", "load") is not None
    _, address = pod_of(probe.api, probe.namespace, "inventory")
    kept = load(probe, "http://inventory/stock/tea", requests=REQUESTS)
    fresh = load(probe, f"http://{address}:8080/stock/tea", requests=REQUESTS // 2, keep=False)
    where = (
        f"{REQUESTS} requests by the Service's name, {REQUESTS // 2} by a Pod's address on new connections"
    )
    if account:
        return not_yet(
            "m5-revoke/still-somebody",
            f"The ServiceAccount load is there, so its Pod is given a new certificate in time. {kept.ok} of {REQUESTS} "
            "requests were answered.",
            where,
            "Where does an identity come from? (`m5-issue`)",
        )
    if fresh.ok:
        return not_yet(
            "m5-revoke/still-valid",
            f"On new connections {fresh.ok} of {REQUESTS // 2} requests were answered: the certificate that load has "
            "is good still.",
            where,
            "A certificate cannot be called back. What ends it?",
        )
    if kept.ok:
        return not_yet(
            "m5-revoke/kept-connection",
            f"New connections are refused, and yet {kept.ok} of {REQUESTS} requests were answered: over connections "
            "that load's proxy had opened before.",
            where,
            "When was a connection's certificate looked at, and when again? Which end of it is yours to close?",
        )
    return passed(
        f"load got no answer to {REQUESTS + REQUESTS // 2} requests, on kept connections and on new ones; customers "
        "and till are served and have lost nothing.",
        where,
    )
