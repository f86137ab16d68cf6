"""m3-probes: probes under STRICT that say yes while the application answers, and no while it does not."""

from __future__ import annotations

import contextlib
import copy
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import sidecars
from labsupport.kube.reasons import explain
from labsupport.mesh import names

APPS = ("press", "stamps")
PORT = 8080
POLICY = 5.0  # seconds for three probes, each a second
SETTLE = 10.0  # seconds for Pods that were made anew
DEAD_START = 12.0  # seconds for the copies to be there, with a proxy that works
DEAD_LOOKS = 3.0  # seconds, and as many probes, in which a copy might say that it is ready
Pod = dict[str, Any]


def probes(probe: Probe) -> Outcome:
    """m3-probes: both Deployments are ready and closed to plaintext; copies with a dead application are not ready."""
    _await_policy(probe)
    live = {app: _live(probe, app) for app in APPS}
    for app, pod in live.items():
        _closed(probe, app, pod)
    probe.progress("starting copies of both, with nothing in them that listens")
    with _dead(probe, live) as copies:
        for app, name in copies.items():
            _says_no(probe, app, name)
    return passed(
        "press and stamps are ready, and plaintext is refused at their port. Copies of them in which nothing listens "
        "are not ready.",
        "their Pods, a request without a certificate to each, and copies of both",
    )


def _await_policy(probe: Probe) -> None:
    """Wait until the kubelet has asked often enough under the policy as it is: a Pod is ready until it has failed."""
    policy = probe.get(f"{names.GROUP}/v1alpha1", "PeerAuthentication", "default")
    times = [each.get("time") for each in (policy or {}).get("metadata", {}).get("managedFields") or []]
    changed = max((datetime.fromisoformat(each) for each in times if each), default=None)
    if changed is not None:
        age = (datetime.now(UTC) - changed).total_seconds()
        time.sleep(min(POLICY, max(0.0, POLICY - age)))


def _live(probe: Probe, app: str) -> Pod:
    target = kube.Target("apps/v1", "Deployment", app, probe.namespace)
    deployment = probe.get("apps/v1", "Deployment", app)
    if deployment is None:
        raise Rejected(
            not_yet(
                "m3-probes/no-deployment",
                f"There is no Deployment {app}.",
                f"Deployment {app} in {probe.namespace}",
                'Apply `start/probes.yaml` again, or `lab.start("m3", at="m3-probes")`.',
            )
        )
    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(probe.api, target, kube.ready, timeout=probe.left(SETTLE), progress=probe.progress)
    there = sidecars.pods_of(probe.api, probe.namespace, app)
    pod = there[-1] if there else None
    if pod is not None and not sidecars.has_proxy(pod):
        raise Rejected(
            not_yet(
                "m3-probes/no-proxy",
                f"The Pod of {app} has no proxy: whoever wants to can talk to it in plaintext.",
                f"Pod {pod['metadata']['name']}, its init containers",
                "Out of the mesh is no way out. What keeps the webhook from giving it one?",
            )
        )
    if pod is None or not sidecars.is_ready(pod):
        found: Pod = {"apiVersion": "v1", "kind": "Pod", **pod} if pod else deployment
        failed = [line for line in explain(probe.api, found) if "probe" in line.lower()]
        raise Rejected(
            not_yet(
                "m3-probes/not-ready",
                f"{app} is not ready. {failed[-1].strip() if failed else 'No probe has been answered yet.'}",
                f"the Pod of {app}, its readiness probe",
                "Who asks, from where, and what does the proxy of the Pod want to see from whoever comes that way?",
            )
        )
    return pod


def _closed(probe: Probe, app: str, pod: Pod) -> None:
    """Errors: Rejected if a caller without a certificate gets an answer."""
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{probe.namespace}/pods/{name}:{PORT}/proxy/"
    answer = kube.exchange(probe.api, "GET", path, timeout=5.0)
    if answer.status == 200:
        raise Rejected(
            not_yet(
                "m3-probes/open",
                f"{app} answered a request that came without any certificate.",
                f"GET / of {name}, port {PORT}, from outside the mesh",
                "What lets the kubelet in lets in everybody: it has no address that only it can have. Is `STRICT` "
                "still said of every port?",
            )
        )


@contextlib.contextmanager
def _dead(probe: Probe, live: dict[str, Pod]) -> Iterator[dict[str, str]]:
    """Copies of both, whose application listens nowhere; they are removed at the end."""
    copies: dict[str, str] = {}
    path = f"/api/v1/namespaces/{probe.namespace}/pods"
    try:
        for app in live:
            deployment = probe.get("apps/v1", "Deployment", app) or {}
            name = f"{app}-dead-{secrets.token_hex(2)}"
            kube.request(probe.api, "POST", path, body=_dead_copy(name, deployment["spec"]["template"]))
            copies[app] = name
        yield copies
    finally:
        for name in copies.values():
            with contextlib.suppress(kube.Refused):
                kube.request(probe.api, "DELETE", f"{path}/{name}", query={"gracePeriodSeconds": "0"})
        for name in copies.values():
            target = kube.Target("v1", "Pod", name, probe.namespace)
            with contextlib.suppress(kube.wait.TimedOut):
                kube.until(probe.api, target, kube.wait.gone, timeout=5.0)


def _dead_copy(name: str, template: Pod) -> Pod:
    """A Pod as the template says, in which a program sleeps where the application would run; probed each second."""
    spec = copy.deepcopy(template["spec"])
    for each in spec["containers"]:
        each["command"], each["args"] = ["sleep", "600"], []
        if probing := each.get("readinessProbe"):
            probing.update(initialDelaySeconds=0, periodSeconds=1, successThreshold=1)
    metadata = {"name": name, "annotations": template["metadata"].get("annotations") or {}}
    metadata["labels"] = {"app": name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _says_no(probe: Probe, app: str, name: str) -> None:
    """Errors: Rejected if the copy becomes ready."""
    target = kube.Target("v1", "Pod", name, probe.namespace)

    def runs(pods: list[Pod]) -> kube.Seen:
        return kube.Seen(bool(pods) and _runs(pods[0]), "it is starting")

    def says_yes(pods: list[Pod]) -> kube.Seen:
        return kube.Seen(bool(pods) and sidecars.is_ready(pods[0]), "it is not ready")

    kube.until(probe.api, target, runs, timeout=probe.left(DEAD_START), progress=probe.progress)
    began = time.monotonic()
    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(probe.api, target, says_yes, timeout=DEAD_LOOKS)
        raise Rejected(
            not_yet(
                "m3-probes/says-yes",
                f"A copy of {app} in which nothing listens on any port says that it is ready, "
                f"{time.monotonic() - began:.1f} s after it was started.",
                f"Pod {name}, its condition Ready",
                "Who answers what the probe asks: the application, or somebody on the way to it?",
            )
        )


def _runs(pod: Pod) -> bool:
    status = pod.get("status") or {}
    proxy = [
        each.get("ready")
        for each in status.get("initContainerStatuses") or []
        if each["name"] == names.PROXY_CONTAINER
    ]
    own = [each for each in status.get("containerStatuses") or [] if "running" in (each.get("state") or {})]
    return all(proxy) and len(own) == len(pod["spec"]["containers"])
