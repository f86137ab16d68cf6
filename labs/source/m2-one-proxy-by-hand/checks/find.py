"""m2-find: the named address and object, held against what the gate's Envoy has counted."""

from __future__ import annotations

from labsupport.course.exercise import Outcome, Probe, not_yet, passed
from labsupport.course.lessons.proxy import Proxy
from labsupport.draw.proxymap import Endpoint, Way

from .serving import SETTLE, unseen_paths


def find(probe: Probe) -> Outcome:
    """m2-find: the address that refuses, and the Service whose port leads nowhere."""
    address = probe.value("address", str, "an address with its port, as the log writes it, in a text").strip()
    culprit = probe.value(
        "culprit", str, "an object, as a text of its kind and its name with a slash between"
    ).strip()
    gate = Proxy(probe.world, "gate")
    running = gate.running(probe.left(SETTLE))
    if not running.serving:
        return not_yet(
            "m2-find/no-gate",
            running.why,
            "Deployment gate",
            'Apply `start/incident.yaml`, or `lab.start("m2", at="m2-find")`.',
        )
    for path in unseen_paths("m2-find", 9):
        gate.send(path, pod=running.pod)
    way = gate.way()
    endpoints = {each.address: each for each in _endpoints(way, "web")}
    services = {
        f"{each['spec'].get('clusterIP')}:{port['port']}": each
        for each in probe.list("v1", "Service")
        for port in each["spec"].get("ports") or []
    }
    if address not in endpoints:
        return not_yet(
            "m2-find/no-such-address",
            f"{address} is none of the addresses among which the gate shares the failing requests out.",
            "/clusters of the gate, the cluster of the route that customers use",
            "In the log: `upstream=` in the lines that end with 503 and are for ordinary paths.",
        )
    asked = endpoints[address]
    # On a busy machine a connection to a healthy Pod may take too long now and then.
    if not asked.failures or asked.failures < max(each.failures for each in endpoints.values()):
        refused = f"{asked.failures} connections, fewer than another" if asked.failures else "no connection"
        return not_yet(
            "m2-find/healthy",
            f"{address} got {asked.requests} requests and refused {refused}.",
            "/clusters of the gate",
            "Which upstream do the failing lines of the log have in common?",
        )
    service = services.get(address)
    truth = f"service/{service['metadata']['name']}" if service else ""
    if culprit.lower() == truth:
        return passed(
            f"{address} has refused {asked.failures} connections; it is the address of {culprit}.",
            f"{culprit}, spec.ports, against the Pods behind it",
        )
    kind, _, name = culprit.partition("/")
    if (
        service
        and kind.lower() in ("deployment", "pod", "replicaset")
        and name.startswith(service["metadata"]["name"])
    ):
        return not_yet(
            "m2-find/symptom",
            f"{culprit} is behind that address; its Pods are ready, and answer whoever asks them where they listen. "
            "They were asked elsewhere.",
            f"{culprit}, its container's ports",
            "Who decides on which port a Pod is asked?",
        )
    return not_yet(
        "m2-find/innocent",
        f"The address is right. If {culprit or 'that'} were changed, requests to it would still be refused.",
        f"{culprit or 'the name culprit'}, against the way from {address} to a Pod",
        "What has this address? And where does that lead, down to the port?",
    )


def _endpoints(way: Way, cluster: str) -> list[Endpoint]:
    return [each for known in way.clusters if known.name == cluster for each in known.endpoints]
