"""m3-inject: the learner's patch on Pods that the notebook does not show, and on those of the lab."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import sidecars
from labsupport.course.lessons.jsonpatch import Refused, applied
from labsupport.kube.reasons import explain
from labsupport.mesh import names
from labsupport.mesh.inject import containers
from labsupport.mesh.inject.asked import Asked, Settings

Pod = dict[str, Any]
WEBHOOK = "injector"
SETTLE = 8.0  # seconds for Pods that were made anew
TOKEN = {
    "name": "kube-api-access-8hx2q",
    "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
}
LOOK = {
    "cannot-be-applied": (
        "What is at that path in this Pod before the operation? RFC 6902: the place that something is added to must be "
        "there, and the list or the map may be missing as a whole."
    ),
    "label-path": "In a path a slash separates. How does RFC 6901 write one that is part of a name?",
    "lost": "An operation `add` for a member that is there replaces it. Does the path name a list, or a place in one?",
    "changed": "Compare the Pod before and after: only what the sidecar needs should differ.",
    "missing": "The four things that a Pod needs stand in the exercise's table.",
    "order": "Init containers run one after the other. Which of them must find its network prepared?",
    "twice": "A Pod may have its proxy already: from another webhook, or from a template that was copied.",
    "opted-out": "Whoever makes the Pod can ask for none. The exercise names the annotation, and its value.",
    "node-network": "Whose network is it whose rules the capture would write?",
    "opted-in": "Which values of the annotation mean that no proxy is wanted?",
}


def _pod(name: str, **spec: Any) -> Pod:
    """A Pod as a webhook gets it."""
    container = {"name": "app", "image": "labs.example/web:1", "resources": {}, "volumeMounts": []}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "unseen", "labels": {"app": name}},
        "spec": {
            "containers": [container],
            "volumes": [TOKEN],
            "serviceAccountName": "default",
            "restartPolicy": "Always",
            **spec,
        },
    }


def _with(pod: Pod, **metadata: Any) -> Pod:
    found = copy.deepcopy(pod)
    for key, value in metadata.items():
        if value is None:
            found["metadata"].pop(key, None)
        else:
            found["metadata"][key] = value
    return found


def to_inject() -> Iterator[tuple[str, Pod]]:
    """Pods that are to get a proxy, with a description."""
    yield "a Pod with a label and a volume", _pod("plain")
    without = _pod("bare")
    del without["spec"]["volumes"]
    yield "a Pod without volumes", without
    yield "a Pod whose volumes are an empty list", _pod("empty", volumes=[])
    yield "a Pod without labels", _with(_pod("unlabelled"), labels=None)
    yield "a Pod without labels and volumes", _with(without, labels=None)
    setup = {"name": "set-up", "image": "labs.example/shell:1"}
    yield "a Pod with an init container of its own", _pod("prepared", initContainers=[setup])
    helper = {"name": "logs", "image": "labs.example/shell:1", "restartPolicy": "Always"}
    yield (
        "a Pod with two init containers and two volumes",
        _pod("busy", initContainers=[setup, helper], volumes=[{"name": "data", "emptyDir": {}}, TOKEN]),
    )
    two = [{"name": name, "image": "labs.example/web:1"} for name in ("app", "metrics")]
    yield "a Pod with two containers", _pod("pair", containers=two)
    job = _with(_pod("once", restartPolicy="Never"), name=None, generateName="once-")
    yield "a Pod of a Job, whose name is not made yet", job
    yield "a Pod with annotations about something else", _with(_pod("noted"), annotations={"team": "blue"})
    yield (
        "a Pod whose annotation asks for a proxy",
        _with(_pod("willing"), annotations={names.INJECT: "true"}),
    )
    yield "a Pod with hostNetwork: false", _pod("own-network", hostNetwork=False)


def to_leave() -> Iterator[tuple[str, str, Pod]]:
    """Pods that are to be left alone: the finding if they are not, a description, the Pod."""
    proxy = {"name": names.PROXY_CONTAINER, "image": names.PROXY_IMAGE, "restartPolicy": "Always"}
    yield "twice", "a Pod that has its proxy", _pod("done", initContainers=[proxy])
    setup = {"name": "set-up", "image": "labs.example/shell:1"}
    yield (
        "twice",
        "a Pod that has its proxy behind another init container",
        _pod("done", initContainers=[setup, proxy]),
    )
    yield "opted-out", "a Pod that wants none", _with(_pod("out"), annotations={names.INJECT: "false"})
    yield "node-network", "a Pod in the network of its node", _pod("node", hostNetwork=True)


def blocks() -> tuple[Pod, Pod, list[Pod]]:
    """What is to be put into a Pod: the two containers and the volumes."""
    asked, settings = Asked("redirect"), Settings()
    return (
        containers.capture_container(asked, settings),
        containers.proxy_container(asked, settings, {}),
        containers.volumes(),
    )


def inject_offline(probe: Probe) -> Outcome:
    """m3-inject, without the cluster: Pods that the notebook does not show."""
    count = 0
    with probe.function("patch", parameters=1) as call:
        for about, pod in to_inject():
            count += 1
            _injected(about, pod, _operations(call(pod, about=about), about))
        for finding, about, pod in to_leave():
            count += 1
            if operations := _operations(call(pod, about=about), about):
                _reject(finding, f"For {about}, `patch` returned {len(operations)} operations.")
    return passed(f"`patch` is right for {count} Pods that the notebook does not show.", "what patch returns")


def _operations(returned: Any, about: str) -> list[Any]:
    if isinstance(returned, list):
        return returned
    raise Rejected(
        not_yet(
            "m3-inject/no-list",
            f"For {about}, `patch` returned {type(returned).__name__}.",
            "what patch returns",
            "It is to return a list of operations, an empty one where nothing is to be done.",
        )
    )


def _reject(finding: str, seen: str) -> None:
    raise Rejected(not_yet(f"m3-inject/{finding}", seen, "what patch returns", LOOK[finding]))


def _injected(about: str, pod: Pod, operations: list[Any]) -> None:
    """Errors: Rejected if the operations do not make of `pod` what they should."""
    capture, proxy, volumes = blocks()
    if not operations:
        finding = "opted-in" if names.INJECT in (pod["metadata"].get("annotations") or {}) else "missing"
        _reject(finding, f"For {about}, `patch` returned no operation.")
    try:
        after = applied(pod, operations)
    except Refused as refused:
        path = str(getattr(_at(operations, refused), "get", lambda key: "")("path"))
        label = "mesh.labs.example/" in path
        _reject(
            "label-path" if label else "cannot-be-applied",
            f"For {about}, the API server could not apply the patch: {refused}.",
        )
    for part, before in _own(pod).items():
        now = _own(after, only=pod).get(part)
        if now != before:
            _reject(
                "lost",
                f"{about[0].upper()}{about[1:]} has lost something of its own: {part} is {_short(now)}.",
            )
    spec = after["spec"]
    init = [each.get("name") for each in spec.get("initContainers") or []]
    needed = [
        (capture in (spec.get("initContainers") or []), f"the init container {capture['name']}"),
        (
            proxy in (spec.get("initContainers") or []),
            f"the sidecar {proxy['name']} among its init containers",
        ),
        (all(each in (spec.get("volumes") or []) for each in volumes), "all volumes of the proxy"),
        (
            (after["metadata"].get("labels") or {}).get(names.PROXY) == "redirect",
            "the label by which the control plane knows it",
        ),
    ]
    for there, what in needed:
        if not there:
            _reject("missing", f"{about[0].upper()}{about[1:]} is left without {what}, as it should be.")
    if init[:2] != [capture["name"], proxy["name"]]:
        _reject("order", f"For {about}, the init containers are {', '.join(map(str, init))}, in this order.")
    wanted = copy.deepcopy(pod)
    wanted["spec"]["initContainers"] = [capture, proxy, *(pod["spec"].get("initContainers") or [])]
    wanted["spec"]["volumes"] = sorted(
        [*(pod["spec"].get("volumes") or []), *volumes], key=lambda each: each["name"]
    )
    wanted["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), names.PROXY: "redirect"}
    spec["volumes"] = sorted(spec["volumes"], key=lambda each: each["name"])
    if after != wanted:
        different = [
            f"{part}.{key}"
            for part in ("metadata", "spec")
            for key in {*after[part], *wanted[part]}
            if after[part].get(key) != wanted[part].get(key)
        ]
        _reject("changed", f"For {about}, something else is changed as well: {', '.join(sorted(different))}.")


def _at(operations: list[Any], refused: Refused) -> Any:
    number = str(refused).removeprefix("operation ").partition(":")[0]
    return operations[int(number)] if number.isdecimal() else None


def _own(pod: Pod, only: Pod | None = None) -> dict[str, Any]:
    """What is a Pod's own: labels, volumes and containers by name; of those of `only`, where it is given."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    found: dict[str, Any] = {f"label {key}": value for key, value in (metadata.get("labels") or {}).items()}
    for part in ("volumes", "initContainers", "containers"):
        for each in spec.get(part) or []:
            found[f"{part} {each.get('name')}"] = each
    return {key: value for key, value in found.items() if only is None or key in _own(only)}


def _short(value: Any) -> str:
    if value is None:
        return "gone"
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- on the cluster


def webhook(probe: Probe) -> None:
    """Errors: Rejected if the learner's webhook does not run."""
    found = probe.deployed(WEBHOOK)
    if found is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                f"No webhook {WEBHOOK} runs in your namespace.",
                f"Deployment {WEBHOOK} in {probe.namespace}",
                "The last lines of the exercise's cell deploy your function.",
            )
        )
    if found.problem:
        raise Rejected(
            not_yet(
                "m3-inject/webhook-down",
                f"The webhook {WEBHOOK} does not work: {found.problem}",
                f"Deployment {WEBHOOK} in {probe.namespace}",
                "`lab.deploy` returned an object with its log and its errors.",
            )
        )


def inject_live(probe: Probe) -> Outcome:
    """m3-inject, on the cluster: new Pods get a proxy, who opts out gets none, and the ledger knows its callers."""
    webhook(probe)
    _through_the_server(probe)
    for app in ("ledger", "till"):
        pod = _settled(probe, app)
        name = pod["metadata"]["name"]
        if not sidecars.has_proxy(pod):
            raise Rejected(
                not_yet(
                    "m3-inject/not-restarted",
                    f"{name} has no proxy. It was made before the webhook was, and a webhook sees new Pods only.",
                    f"Pod {name}, its init containers",
                    "Have its Deployment make another one.",
                )
            )
        if not sidecars.is_ready(pod):
            reasons = explain(probe.api, {"kind": "Pod", "apiVersion": "v1", **pod})
            raise Rejected(
                not_yet(
                    "m3-inject/not-ready",
                    f"{name} has a proxy and is not ready. {' '.join(reasons[:3])}",
                    f"Pod {name}",
                    "`labs kubectl describe pod` says which container is waited for, and why.",
                )
            )
    till = sidecars.pods_of(probe.api, probe.namespace, "till")[-1]["metadata"]["name"]
    asked = sidecars.ask(probe.api, probe.namespace, till, "ledger", "till")
    wanted = names.spiffe_id(probe.namespace, "default")
    if asked.identity != wanted:
        return not_yet(
            "m3-inject/plaintext",
            f"{till} asked the ledger, and {asked}.",
            "the header x-forwarded-client-cert, as the ledger got it",
            "How does the control plane know which Pods have a proxy that can be asked for TLS?",
        )
    return passed(
        f"New Pods get their proxy by your function, those that opt out get none, and when {till} asks the ledger, "
        f"{asked}.",
        "dry runs of Pods, the Pods of ledger and till, and a real request",
    )


def _through_the_server(probe: Probe) -> None:
    """Errors: Rejected if the API server, asking the webhook, would store other Pods than it should."""
    for said, wanted in (({}, True), ({names.INJECT: "false"}, False)):
        answer = sidecars.dry_pod(probe.world, probe.namespace, annotations=said)
        if answer.status >= 400:
            message = (answer.body or {}).get("message", "") if isinstance(answer.body, dict) else answer.body
            raise Rejected(
                not_yet(
                    "m3-inject/refused",
                    f"A new Pod is refused: {message}",
                    f"a dry run of a Pod in {probe.namespace}",
                    "Who says this: your function, or the API server about its patch?",
                )
            )
        if sidecars.has_proxy(answer.body) is not wanted:
            raise Rejected(
                not_yet(
                    "m3-inject/other-function",
                    f"The API server would store a new Pod {'without' if wanted else 'with'} a proxy. The function in "
                    "the notebook does better.",
                    f"a dry run of a Pod in {probe.namespace}",
                    "Is what was deployed the function that the notebook has now? Run the cell again.",
                )
            )


def _settled(probe: Probe, app: str) -> Pod:
    """The newest Pod of a Deployment, once its roll-out is over or has had its time."""
    target = kube.Target("apps/v1", "Deployment", app, probe.namespace)
    with contextlib.suppress(kube.wait.TimedOut):
        kube.until(probe.api, target, kube.ready, timeout=probe.left(SETTLE), progress=probe.progress)
    there = sidecars.pods_of(probe.api, probe.namespace, app)
    if there:
        return there[-1]
    raise Rejected(
        not_yet(
            "m3-inject/no-pods",
            f"The Deployment {app} has no Pod.",
            f"Deployment {app} in {probe.namespace}",
            'What do its events say? `lab.start("m3", at="m3-inject")` brings it back.',
        )
    )
