"""The checks of lab 00. They look at the Service, at what the cluster made of it, and send real requests
through it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, not_yet, passed

REQUESTS = 12  # a Pod too many among two is missed by chance once in 4096 times
SETTLE = 8.0  # seconds for endpoints to follow a Service, and for Pods to become ready
WEB = "web"

Object = dict[str, Any]


def expose(probe: Probe) -> Outcome:
    """00-expose: a Service `web` whose port 80 leads to the web Pods and to no others."""
    deployment = probe.get("apps/v1", "Deployment", WEB)
    if deployment is None:
        return not_yet(
            "00-expose/no-deployment",
            "The Deployment web is not in your namespace, so there is nothing to expose.",
            f"Deployment {WEB} in {probe.namespace}",
            'Run the cell that follows web from apply to Ready, or `lab.start("00", at="00-expose")`.',
        )
    service = probe.get("v1", "Service", WEB)
    if service is None:
        return _no_service(probe, deployment)
    ports = {port["port"]: port for port in service["spec"].get("ports") or []}
    if 80 not in ports:
        return not_yet(
            "00-expose/wrong-port",
            f"The Service web takes calls on {_numbers(ports)}; callers come to another port.",
            "Service web, spec.ports",
            "`port` is the caller's side of a Service, `targetPort` the Pod's side.",
        )
    slices = _settled_slices(probe, service)
    web_pods = _pods_of(probe, deployment)
    endpoints = [
        endpoint
        for each in slices
        if any(port.get("name", "") == ports[80].get("name", "") for port in each.get("ports") or [])
        for endpoint in each.get("endpoints") or []
    ]
    if not endpoints:
        return _no_endpoints(probe, service, slices)
    strangers = sorted(name for endpoint in endpoints if (name := _pod_name(endpoint)) not in web_pods)
    ready = [endpoint for endpoint in endpoints if endpoint["conditions"].get("ready", True)]
    if strangers:
        return not_yet(
            "00-expose/too-many",
            f"The Service's selector is also true of {', '.join(strangers)}, which is no Pod of the Deployment web; "
            f"{len(strangers)} of {len(endpoints)} endpoints lead there, and so does that share of the calls.",
            "EndpointSlices of the Service web",
            "Which labels do the web Pods have that the others lack? `labs kubectl get pods --show-labels`",
        )
    if not ready:
        return not_yet(
            "00-expose/not-ready",
            f"The Service found its Pods, but none of the {len(endpoints)} is ready.",
            "EndpointSlices of the Service web, conditions.ready",
            f"`labs kubectl -n {probe.namespace} describe pods` says what their readiness probe sees.",
        )
    return _ask(probe, ready, web_pods)


def _no_service(probe: Probe, deployment: Object) -> Outcome:
    """Tell apart: nothing made yet, made in another namespace, made under another name."""
    labels = deployment["spec"]["template"]["metadata"]["labels"]

    def selects_web(service: Object) -> bool:
        selector = service["spec"].get("selector") or {}
        return bool(selector) and selector.items() <= labels.items()

    here = [each for each in probe.list("v1", "Service") if selects_web(each)]
    if here:
        return not_yet(
            "00-expose/other-name",
            f"The Service {here[0]['metadata']['name']} leads to the web Pods, but callers ask for another name.",
            f"Service {here[0]['metadata']['name']} in {probe.namespace}, metadata.name",
            "A Service's name is its DNS name: compare it with the name in the exercise's first sentence.",
        )
    everywhere = kube.list_objects(probe.api, "v1", "Service", fields=f"metadata.name={WEB}")
    others = [each for each in everywhere if selects_web(each)]
    if others:
        place = others[0]["metadata"]["namespace"]
        return not_yet(
            "00-expose/other-namespace",
            f"There is a Service web, but in the namespace {place}. A Service selects Pods of its own namespace only, "
            "and its short name is known there only.",
            f"Service web in {place}, metadata.namespace",
            "`lab.apply` puts objects into your namespace; kubectl needs `-n` with `lab.namespace`.",
        )
    return not_yet(
        "00-expose/no-service",
        "No object in your namespace gives the web Pods a name. Ports and labels of a Deployment declare things; "
        "they make nobody reachable.",
        f"Services in {probe.namespace}",
        "The cell above the check is where your manifest goes. Run it after you have written it.",
    )


def _settled_slices(probe: Probe, service: Object) -> list[Object]:
    """The Service's EndpointSlices once they agree with the Service, or after SETTLE seconds as they are.

    Slices carry no observedGeneration. They have caught up when they list just the Pods that the selector is true of,
    on the port that the Service names, one of them ready. With no such Pod, empty slices are settled at once.
    """
    selector = service["spec"].get("selector") or {}
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    wanted = service["spec"]["ports"]

    def seen(slices: list[Object]) -> kube.Seen:
        pods = probe.list("v1", "Pod", labels=labels) if selector else []
        expected = {each["metadata"]["name"] for each in pods if (each.get("status") or {}).get("podIP")}
        endpoints = [endpoint for each in slices for endpoint in each.get("endpoints") or []]
        listed = {_pod_name(endpoint) for endpoint in endpoints}
        ready = [endpoint for endpoint in endpoints if endpoint["conditions"].get("ready", True)]
        numbers = {port.get("port") for each in slices for port in each.get("ports") or []}
        targets = {port["targetPort"] for port in wanted if isinstance(port.get("targetPort"), int)}
        text = f"web has {len(endpoints)} endpoints, {len(ready)} of them ready"
        if not selector:
            return kube.Seen(True, text)
        caught_up = bool(slices) and listed == expected and len(expected) == len(pods)
        return kube.Seen(caught_up and (not pods or (bool(ready) and targets <= numbers)), text)

    target = kube.Target(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        namespace=probe.namespace,
        labels=f"kubernetes.io/service-name={WEB}",
    )
    try:
        return kube.until(probe.api, target, seen, timeout=probe.left(SETTLE), progress=probe.progress)
    except kube.wait.TimedOut as late:
        return late.objects


def _pods_of(probe: Probe, deployment: Object) -> set[str]:
    """Names of the Pods that the Deployment owns, by way of its ReplicaSets; labels alone prove nothing
    here.
    """
    sets = {
        each["metadata"]["uid"]
        for each in probe.list("apps/v1", "ReplicaSet")
        if _owned_by(each, {deployment["metadata"]["uid"]})
    }
    return {each["metadata"]["name"] for each in probe.list("v1", "Pod") if _owned_by(each, sets)}


def _owned_by(each: Object, owners: set[str]) -> bool:
    return any(owner["uid"] in owners for owner in each["metadata"].get("ownerReferences") or [])


def _no_endpoints(probe: Probe, service: Object, slices: list[Object]) -> Outcome:
    selector = service["spec"].get("selector")
    if not selector:
        return not_yet(
            "00-expose/no-selector",
            "The Service web has no selector: it asks for no Pods, so it has no endpoints.",
            "Service web, spec.selector",
            "A Service finds its Pods by a question about labels.",
        )
    words = ", ".join(f"{key}={value}" for key, value in selector.items())
    matching = probe.list("v1", "Pod", labels=",".join(f"{key}={value}" for key, value in selector.items()))
    if matching:
        return not_yet(
            "00-expose/no-port",
            f"The selector {words} is true of {len(matching)} Pods, but none has the port that the Service names.",
            "Service web, spec.ports[].targetPort",
            "A targetPort in letters must be the `name` of a port in the Pod.",
        )
    return not_yet(
        "00-expose/no-endpoints",
        f"The Service web asks for Pods with {words}, and no Pod of your namespace has that. "
        f"Its EndpointSlice{'s are' if len(slices) > 1 else ' is'} empty.",
        "Service web, spec.selector, against the labels of the Pods",
        f"`labs kubectl -n {probe.namespace} get pods --show-labels`; a Service looks at Pods, not at Deployments.",
    )


def _ask(probe: Probe, ready: list[Object], web_pods: set[str]) -> Outcome:
    """Call the Service as often as it takes to meet each endpoint, by way of the API server's proxy for
    Services.
    """
    path = f"/api/v1/namespaces/{probe.namespace}/services/{WEB}:80/proxy/check"
    answered_by: dict[str, int] = {}
    for number in range(1, REQUESTS + 1):
        probe.progress(f"request {number} of {REQUESTS} to web:80")
        try:
            answer = kube.request(probe.api, "GET", path, timeout=probe.left(5.0))
            pod = str((answer if isinstance(answer, dict) else json.loads(answer))["pod"])
        except (kube.Refused, ValueError, KeyError, TypeError) as error:
            return not_yet(
                "00-expose/refused",
                f"Request {number} of {REQUESTS} to web:80 reached no web server: {_short(error)}. The Service has "
                f"{len(ready)} ready endpoint{'s' if len(ready) > 1 else ''}, and they do not listen where it knocks.",
                f"GET http://web:80/check, sent through the API server to {_addresses(ready)}",
                "On which port does the container listen, and which port do the EndpointSlices show?",
            )
        answered_by[pod] = answered_by.get(pod, 0) + 1
    others = sorted(set(answered_by) - web_pods)
    if others:
        return not_yet(
            "00-expose/others-answer",
            f"Some requests to web:80 were answered by {', '.join(others)}.",
            "the answers' field pod",
            "Which Pods does the selector find?",
        )
    words = ", ".join(f"{name} {count}" for name, count in sorted(answered_by.items()))
    return passed(
        f"{REQUESTS} of {REQUESTS} requests to web:80 were answered: {words}.", "GET http://web:80/check"
    )


def _pod_name(endpoint: Object) -> str:
    return str((endpoint.get("targetRef") or {}).get("name", endpoint["addresses"][0]))


def _addresses(endpoints: list[Object]) -> str:
    return ", ".join(address for endpoint in endpoints for address in endpoint["addresses"])


def _numbers(ports: dict[int, Any]) -> str:
    return "port " + " and ".join(str(port) for port in sorted(ports)) if ports else "no port"


def _short(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return text if len(text) < 200 else text[:200] + "..."


CHECKS: dict[str, Callable[[Probe], Outcome]] = {"00-expose": expose}
