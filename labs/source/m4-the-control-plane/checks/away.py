"""m4-away: the control plane is taken away, a proxy starts, and the control plane comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import controlplane
from labsupport.course.lessons.proxy import Proxy
from labsupport.patience import patient

from .live import control_plane, settled

PATIENT = 3  # seconds of initial delay: more is a wait, and no condition
ROLLED = patient(10.0)  # seconds for a changed Deployment to have its new Pod ready
DEAF = patient(8.0)  # seconds in which a proxy without a control plane would be called ready by its own word
BACK = patient(15.0)  # seconds for the control plane to come back and the new proxy to be ready
REQUESTS = 12
Json = dict[str, Any]
LOOK = (
    "Which question tells a proxy that can take a request from one that cannot? Ask that one, and no other."
)


def away(probe: Probe) -> Outcome:
    """m4-away: who is ready while the control plane is away, and after it is back."""
    delay = _delay(probe.get("apps/v1", "Deployment", "proxy") or {})
    if delay > PATIENT:
        return not_yet(
            "m4-away/delay",
            f"A new proxy would not even be asked for {delay} s, in which it might be needed, and then be asked the "
            "same as before.",
            "Deployment proxy, its readinessProbe",
            "No number of seconds says whether a configuration has come. What does?",
        )
    control_plane(probe, "m4-away", proxy=False)
    probe.progress("Waiting for the proxies to be those of the manifest")
    if not _rolled_out(probe):
        return _never_ready(
            "The control plane is in its place, and the proxy of the new manifest does not get ready."
        )
    webs = {each["metadata"]["name"] for each in probe.list("v1", "Pod", labels="app=web")}
    if seen := settled(probe, "web", "/", webs):
        return not_yet(
            "m4-away/no-proxy",
            f"With the control plane in its place, requests for web are answered by {seen}.",
            "GET / of web through the proxy",
            'Start the lab again here: `lab.start("m4", at="m4-away")`.',
        )
    before = _pods(probe)
    try:
        probe.progress("The control plane goes away")
        controlplane.scale(probe, controlplane.NAME, 0)
        controlplane.scale(probe, "proxy", len(before) + 1, timeout=0)
        outcome = _while_away(probe, {*before})
        if outcome:
            return outcome
        probe.progress("The control plane comes back")
        began = time.monotonic()
        controlplane.scale(probe, controlplane.NAME, 1, timeout=BACK)
        fresh = _until(probe, lambda pods: all(pods.values()) and len(pods) > len(before), BACK)
        if not (all(fresh.values()) and len(fresh) > len(before)):
            return _never_ready(
                f"The control plane was back for {time.monotonic() - began:.0f} s, and the new proxy was not ready."
            )
        took = time.monotonic() - began
    finally:
        controlplane.scale(probe, "proxy", len(before), timeout=0)
        controlplane.scale(probe, controlplane.NAME, 1, timeout=BACK)
        controlplane.scale(probe, "proxy", len(before), timeout=BACK)
    return passed(
        "While the control plane was away, the proxy that was there answered, and the new one was not ready. "
        f"It was {took:.1f} s after the control plane was started again.",
        "the Pods of the Deployment proxy",
    )


def _while_away(probe: Probe, old: set[str]) -> Outcome | None:
    seen = _until(probe, lambda pods: any(pods[name] for name in pods if name not in old), DEAF)
    new = [name for name in seen if name not in old]
    if not new:
        raise Rejected(
            not_yet(
                "m4-away/no-new-proxy",
                "A second proxy was wanted, and there was no Pod.",
                "Deployment proxy",
                "Does the Deployment have what the Pod needs? `labs kubectl -n {namespace} describe deployment proxy`",
            )
        )
    if out := sorted(name for name in old if not seen.get(name)):
        return not_yet(
            "m4-away/all-out",
            f"The control plane was away, and {out[0]}, which has its configuration and answers requests, was called "
            "not ready: its Service has nobody left.",
            f"the readiness of {out[0]}",
            LOOK,
        )
    proxy = Proxy(probe.world)
    replies = [proxy.send("/", {"Host": "web"}, pod=sorted(old)[0]) for _ in range(REQUESTS)]
    if any(not each.pod for each in replies):
        return not_yet(
            "m4-away/no-answers",
            f"The control plane was away, and requests through {sorted(old)[0]} were not answered by web.",
            "GET / of web through the proxy",
            'Start the lab again here: `lab.start("m4", at="m4-away")`.',
        )
    if seen[new[0]]:
        reply = proxy.send("/", {"Host": "web"}, pod=new[0])
        heard = f"is answered with {reply.status}" if reply.reached else "finds its port closed"
        return not_yet(
            "m4-away/deaf",
            f"{new[0]} started while the control plane was away, has no configuration, and is ready; a request to it "
            f"{heard}.",
            f"the readiness of {new[0]}",
            LOOK,
        )
    return None


def _rolled_out(probe: Probe) -> bool:
    """Wait until the Deployment has Pods of its newest template alone, all ready; whether it came to that."""
    ending = time.monotonic() + probe.left(ROLLED)
    while True:
        found = probe.get("apps/v1", "Deployment", "proxy") or {"metadata": {}, "spec": {}}
        status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
        if status.get("observedGeneration") == found["metadata"].get("generation") and (
            status.get("updatedReplicas") == status.get("readyReplicas") == status.get("replicas") == wanted
        ):
            return True
        if time.monotonic() > ending:
            return False
        time.sleep(0.2)


def _never_ready(text: str) -> Outcome:
    return not_yet(
        "m4-away/never-ready",
        text,
        "the new Pod of the Deployment proxy",
        "What does the kubelet ask it, and what does it answer? `labs kubectl -n {namespace} describe pods -l "
        "app=proxy`",
    )


def _pods(probe: Probe) -> dict[str, bool]:
    """The proxies that are not being deleted, and whether each is ready."""
    return {
        pod["metadata"]["name"]: kube.ready([{"kind": "Pod", **pod}]).done
        for pod in probe.list("v1", "Pod", labels="app=proxy")
        if not pod["metadata"].get("deletionTimestamp")
    }


def _until(probe: Probe, met: Callable[[dict[str, bool]], bool], timeout: float) -> dict[str, bool]:
    """The proxies once `met` holds, or as they are after the time."""
    ending = time.monotonic() + probe.left(timeout)
    while True:
        pods = _pods(probe)
        if met(pods) or time.monotonic() > ending:
            return pods
        time.sleep(0.2)


def _delay(deployment: Json) -> int:
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{}]
    probes = [containers[0].get(kind) or {} for kind in ("readinessProbe", "startupProbe")]
    return max(int(each.get("initialDelaySeconds", 0)) for each in probes)
