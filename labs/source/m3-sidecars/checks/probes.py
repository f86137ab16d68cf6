"""m3-probes: probes under STRICT that say yes while the application answers, and no while it does not."""

from __future__ import annotations

import contextlib
import copy
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import sidecars
from labsupport.kube.reasons import explain
from labsupport.mesh import names
from labsupport.patience import patient

APPS = ("press", "stamps")
PORT = 8080
POLICY = 5.0  # seconds for three probes, each a second
SETTLE = patient(10.0)  # seconds for Pods that were made anew
DEAD_START = patient(12.0)  # seconds for the copies to be there, with a proxy that works
DEAD_LOOKS = 3.0  # seconds, and as many probes, in which a copy might say that it is ready
COPY = "labs.example/dead-copy"  # a label of the copies
Pod = dict[str, Any]


def probes(probe: Probe) -> Outcome:
    """m3-probes: both Deployments are ready and closed to plaintext; copies with a dead application are not ready."""
    live = {app: _with_proxy(probe, app) for app in APPS}
    _await_policy(probe, live)
    for app in APPS:
        _ready(probe, app)
    for app, pod in live.items():
        _closed(probe, app, pod)
    probe.progress("starting copies of both, with nothing in them that listens")
    with _dead(probe) as copies:
        _say_no(probe, copies)
    return passed(
        "press and stamps are ready, and plaintext is refused at their port. Copies of them in which nothing listens "
        "are not ready.",
        "their Pods, a request without a certificate to each, and copies of both",
    )


def _with_proxy(probe: Probe, app: str) -> Pod:
    """The Pod of a Deployment's newest template. Errors: Rejected if there is none, or if it has no proxy."""
    if probe.get("apps/v1", "Deployment", app) is None:
        raise Rejected(
            not_yet(
                "m3-probes/no-deployment",
                f"There is no Deployment {app}.",
                f"Deployment {app} in {probe.namespace}",
                'Apply `start/probes.yaml` again, or `lab.start("m3", at="m3-probes")`.',
            )
        )
    target = kube.Target("apps/v1", "Deployment", app, probe.namespace)
    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(probe.api, target, _made, timeout=probe.left(SETTLE), progress=probe.progress)
    there = sidecars.pods_of(probe.api, probe.namespace, app)
    if not there:
        raise Rejected(_not_ready(probe, app, probe.get("apps/v1", "Deployment", app) or {}))
    pod = there[-1]
    if not sidecars.has_proxy(pod):
        raise Rejected(
            not_yet(
                "m3-probes/no-proxy",
                f"The Pod of {app} has no proxy: whoever wants to can talk to it in plaintext.",
                f"Pod {pod['metadata']['name']}, its init containers",
                "Out of the mesh is no way out. What keeps the webhook from giving it one?",
            )
        )
    return pod


def _made(deployments: list[Pod]) -> kube.Seen:
    """Met when all Pods of a Deployment are of its newest template, ready or not."""
    if not deployments:
        return kube.Seen(False, "there is no such Deployment")
    spec, status = deployments[0]["spec"], deployments[0].get("status") or {}
    newest = status.get("observedGeneration", 0) >= deployments[0]["metadata"]["generation"]
    pods, updated = status.get("replicas", 0), status.get("updatedReplicas", 0)
    return kube.Seen(newest and pods == updated == spec["replicas"], "its Pods are being replaced")


def _await_policy(probe: Probe, live: dict[str, Pod]) -> None:
    """Wait until the kubelet has asked often enough under the policy as it is: a Pod that was ready before remains so
    until it has failed. One that came to be ready later has been asked under it already.
    """
    policies = probe.list(f"{names.GROUP}/v1alpha1", "PeerAuthentication")
    fields = [each for policy in policies for each in policy["metadata"].get("managedFields") or []]
    changed = max((_time(each["time"]) for each in fields if each.get("time")), default=None)
    if changed is None:
        return
    for app, pod in live.items():
        ready = [
            _time(each["lastTransitionTime"])
            for each in (pod.get("status") or {}).get("conditions") or []
            if each["type"] == "Ready" and each["status"] == "True"
        ]
        if ready and ready[0] <= changed + timedelta(seconds=1):
            target = kube.Target("v1", "Pod", pod["metadata"]["name"], probe.namespace)
            probe.progress(f"waiting for what the kubelet says of {app} under the policy")
            with contextlib.suppress(kube.wait.TimedOut):
                kube.until(probe.api, target, _unready, timeout=max(0.0, POLICY - _age(changed)))


def _unready(pods: list[Pod]) -> kube.Seen:
    return kube.Seen(not any(map(sidecars.is_ready, pods)), "it is ready")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _age(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def _ready(probe: Probe, app: str) -> None:
    """Errors: Rejected if the newest Pod of a Deployment is not ready, though its probe has been tried three times."""
    target = kube.Target("v1", "Pod", namespace=probe.namespace, labels=f"app={app}")

    def ready(pods: list[Pod]) -> kube.Seen:
        pod = _newest(pods)
        return kube.Seen(pod is not None and sidecars.is_ready(pod), f"{app} is not ready")

    def known(pods: list[Pod]) -> kube.Seen:
        pod = _newest(pods)
        runs = pod is not None and _runs(pod)
        return kube.Seen(runs or ready(pods).done, f"{app} is starting")

    try:
        found = kube.until(probe.api, target, known, timeout=probe.left(SETTLE), progress=probe.progress)
        kube.until(probe.api, target, ready, timeout=min(probe.left(), _chances(_newest(found) or {})))
    except kube.wait.TimedOut as late:
        pod = _newest(late.objects)
        raise Rejected(_not_ready(probe, app, pod or probe.get("apps/v1", "Deployment", app) or {})) from None


def _newest(pods: list[Pod]) -> Pod | None:
    there = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    return max(there, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _chances(pod: Pod) -> float:
    """The seconds that are left of those in which a Pod's readiness is asked for three times from its start."""
    needed, began = 1.0, datetime.now(UTC)
    for each in pod["spec"]["containers"]:
        asks = each.get("readinessProbe") or {}
        needed = max(needed, asks.get("initialDelaySeconds", 0) + 3 * asks.get("periodSeconds", 10) + 1.0)
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if running := (status.get("state") or {}).get("running"):
            began = min(began, _time(running["startedAt"]))
    return max(0.0, min(SETTLE, patient(needed)) - _age(began))


def _not_ready(probe: Probe, app: str, found: Pod) -> Outcome:
    reasons = explain(probe.api, {"apiVersion": "v1", "kind": "Pod", **found}) if found else []
    failed = [line for line in reasons if "probe" in line.lower()]
    return not_yet(
        "m3-probes/not-ready",
        f"{app} is not ready. {failed[-1].strip() if failed else 'No probe has been answered yet.'}",
        f"the Pod of {app}, its readiness probe",
        "Who asks, from where, and what does the proxy of the Pod want to see from whoever comes that way?",
    )


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
def _dead(probe: Probe) -> Iterator[kube.Target]:
    """Copies of both, whose application listens nowhere; they are removed at the end."""
    copies: list[str] = []
    mark = secrets.token_hex(2)
    path = f"/api/v1/namespaces/{probe.namespace}/pods"
    try:
        for app in APPS:
            deployment = probe.get("apps/v1", "Deployment", app) or {}
            body = _dead_copy(app, mark, deployment["spec"]["template"])
            kube.request(probe.api, "POST", path, body=body)
            copies.append(body["metadata"]["name"])
        yield kube.Target("v1", "Pod", namespace=probe.namespace, labels=f"{COPY}={mark}")
    finally:
        for name in copies:
            with contextlib.suppress(kube.Refused):
                kube.request(probe.api, "DELETE", f"{path}/{name}", query={"gracePeriodSeconds": "0"})
        for name in copies:
            target = kube.Target("v1", "Pod", name, probe.namespace)
            with contextlib.suppress(kube.wait.TimedOut):
                kube.until(probe.api, target, kube.wait.gone, timeout=5.0)


def _dead_copy(app: str, mark: str, template: Pod) -> Pod:
    """A Pod as the template says, in which a program sleeps where the application would run; probed each second."""
    spec = copy.deepcopy(template["spec"])
    for each in spec["containers"]:
        each["command"], each["args"] = ["sleep", "600"], []
        if probing := each.get("readinessProbe"):
            probing.update(initialDelaySeconds=0, periodSeconds=1, successThreshold=1)
    name = f"{app}-dead-{mark}"
    metadata = {"name": name, "annotations": template["metadata"].get("annotations") or {}}
    metadata["labels"] = {"app": name, COPY: mark}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _say_no(probe: Probe, copies: kube.Target) -> None:
    """Errors: Rejected if one of the copies becomes ready."""

    def run(pods: list[Pod]) -> kube.Seen:
        return kube.Seen(
            any(map(sidecars.is_ready, pods)) or (len(pods) == len(APPS) and all(map(_runs, pods))),
            "they are starting",
        )

    def says_yes(pods: list[Pod]) -> kube.Seen:
        return kube.Seen(any(map(sidecars.is_ready, pods)), "they are not ready")

    kube.until(probe.api, copies, run, timeout=probe.left(DEAD_START), progress=probe.progress)
    try:
        found = kube.until(probe.api, copies, says_yes, timeout=DEAD_LOOKS)
    except kube.wait.TimedOut:
        return
    name = sorted(pod["metadata"]["name"] for pod in found if sidecars.is_ready(pod))[0]
    raise Rejected(
        not_yet(
            "m3-probes/says-yes",
            f"A copy of {name.partition('-')[0]} in which nothing listens on any port says that it is ready.",
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
