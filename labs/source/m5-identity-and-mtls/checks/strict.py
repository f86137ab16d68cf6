"""m5-strict: who has a proxy, whether plaintext is refused, and whether anybody had to complain on the way."""

from __future__ import annotations

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.mesh import names

from .shop import CALLERS, complaints, has_proxy, is_ready, plaintext, pods, served, still_plaintext

APPS = ("inventory", "load", *CALLERS)
API_VERSION = f"{names.GROUP}/v1alpha1"


def strict(probe: Probe) -> Outcome:
    """m5-strict: all Pods in the mesh, plaintext refused, no request lost."""
    if trouble := complaints(probe):
        told = "; ".join(f"{who} at {what}" for who, what in sorted(trouble.items()))
        return not_yet(
            "m5-strict/requests-failed",
            f"On the way a request failed: {told}.",
            "ConfigMap complaints",
            "Who of the two sides could speak which language at that moment? What has failed stays failed: "
            '`lab.start("m5", at="m5-strict")` brings back the plaintext shop.',
        )
    namespace = kube.get(probe.api, "v1", "Namespace", probe.namespace) or {}
    labelled = (namespace["metadata"].get("labels") or {}).get(names.INJECT) == "true"
    own = probe.get(API_VERSION, "PeerAuthentication", "default")
    if own is None and not labelled and _elsewhere(probe):
        return not_yet(
            "m5-strict/other-namespace",
            "There is a PeerAuthentication, in another namespace than this one.",
            f"PeerAuthentications outside of {probe.namespace}",
            "It concerns the Pods of the namespace that it is in.",
        )
    without = [app for app in APPS if not all(has_proxy(each) for each in pods(probe, app))]
    if without and set(without) - {"till"}:
        return not_yet(
            "m5-strict/no-proxy",
            f"Pods without a proxy: those of {', '.join(without)}"
            + (". The namespace is labelled." if labelled else ", and the namespace is not labelled."),
            f"Pods in {probe.namespace}, their init containers",
            "The label is looked at when a Pod is created, and never again.",
        )
    for app in APPS:
        found = pods(probe, app)
        if not found or not any(is_ready(each) for each in found):
            return not_yet(
                "m5-strict/not-served",
                f"{app} has {'no Pod that is ready' if found else 'no Pod any more'}.",
                f"Pods with the label app={app}",
                "All callers are to be there afterwards, and be served.",
            )
    mode = ((own or {}).get("spec") or {}).get("mode", "none")
    look = (
        plaintext if own is None else still_plaintext
    )  # a change takes a moment; where there is none, nothing does
    if got := look(probe, "inventory", "/stock/tea"):
        return not_yet(
            "m5-strict/plaintext-answered",
            f"A caller in the clear got {got} from the inventory. (PeerAuthentication of this namespace: mode {mode}.)",
            "GET http://inventory/stock/tea, by way of the API server",
            "What says that plaintext is refused, and on which ports? `labs mesh status` lists who has a proxy.",
        )
    if without or not all(served(probe, each) for each in CALLERS):
        return not_yet(
            "m5-strict/still-outside",
            f"Without a proxy: {', '.join(without)}.",
            f"Pods in {probe.namespace}",
            "Who calls in the clear is refused from now on.",
        )
    return passed(
        "All Pods have a proxy, a request in the clear is refused, customers and till are served, and neither of them "
        "has lost a request.",
        "Pods, GET http://inventory/stock/tea in the clear, ConfigMap complaints",
    )


def _elsewhere(probe: Probe) -> bool:
    found = kube.list_objects(probe.api, API_VERSION, "PeerAuthentication")
    return any(each["metadata"]["namespace"] != probe.namespace for each in found)
