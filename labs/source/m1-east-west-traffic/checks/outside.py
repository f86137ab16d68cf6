"""m1-outside: a purchase through the node's port, and whether callers inside are served as before."""

from __future__ import annotations

import time
from collections.abc import Sequence

from labsupport import kube
from labsupport.course.exercise import Outcome, Probe, Rejected, not_yet, passed
from labsupport.course.lessons import rules, traffic
from labsupport.errors import LabsError

from .shop import Object, load


def outside(probe: Probe) -> Outcome:
    """m1-outside: one door in the node's wall, and it leads to web."""
    web = probe.get("v1", "Service", "web")
    door = next(
        (port["nodePort"] for port in (web or {}).get("spec", {}).get("ports", []) if port.get("nodePort")),
        None,
    )
    if web is None or door is None:
        return _no_door(probe)
    others = sorted(
        each["metadata"]["name"]
        for each in probe.list("v1", "Service")
        if each["metadata"]["name"] != "web"
        and any(port.get("nodePort") for port in each["spec"].get("ports") or [])
    )
    if others:
        return not_yet(
            "m1-outside/other-doors",
            f"web has a door, and so {'has' if len(others) == 1 else 'have'} {' and '.join(others)}: whoever reaches "
            "the node reaches them too.",
            "Services with a nodePort; map service-nodeports in the table kube-proxy",
            "Which type gives a Service an address inside the cluster only?",
        )
    _await_rules(probe, _followed(probe))
    node = kube.list_objects(probe.api, "v1", "Node")[0]
    address = next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
    seen = _until_ok(probe, f"http://{address}:{door}/buy/tea")
    decided = f"GET http://{address}:{door}/buy/tea, the node's own address"
    if not seen.ok:
        return not_yet(
            "m1-outside/closed-door",
            f"The node's port {door} belongs to web, but a purchase there got "
            f"{', '.join([*seen.result['by_status'], *seen.result['errors']]) or 'no answer'}.",
            decided,
            "Three ports: the node's, the Service's, the container's. Which of them does nobody listen on?",
        )
    # The second over a connection of its own: orders may keep one to inventory that no rule is asked about any more.
    for url in ("http://web/buy/tea", "http://inventory/stock/tea"):
        inside = _until_ok(probe, url)
        if not inside.ok:
            return not_yet(
                "m1-outside/broken-inside",
                "From outside it works, from inside it does not: "
                f"{', '.join([*inside.result['by_status'], *inside.result['errors']]) or 'no answer'}.",
                f"GET {url}",
                "Callers inside go on using names and port 80, on all Services.",
            )
    return passed(
        f"A purchase at the node's port {door} was answered by {next(iter(seen.by_pod))}; no other Service has a door.",
        decided,
    )


def _followed(probe: Probe) -> list[tuple[Object, list[Object]]]:
    """The two Services with the Pods that each selects.

    Errors: Rejected unless both follow their Pods. Without a selector the old EndpointSlices stay for a while, and a
    door that leads to them looks good until the next Pod comes.
    """
    pods = probe.list("v1", "Pod")
    followed = []
    for name in ("web", "inventory"):
        service = probe.get("v1", "Service", name) or {}
        selector = (service.get("spec") or {}).get("selector") or {}
        selected = [
            pod
            for pod in pods
            if selector and selector.items() <= (pod["metadata"].get("labels") or {}).items()
        ]
        if selected:
            followed.append((service, selected))
            continue
        if not service:
            what = f"There is no Service {name} any more, and callers inside need it."
        elif selector:
            what = f"No Pod has the labels that the Service {name} selects."
        else:
            what = f"The Service {name} selects no Pods. Wherever it still leads, new Pods will not be among them."
        raise Rejected(
            not_yet(
                "m1-outside/loses-its-pods",
                what,
                f"Service {name}, spec.selector, against the labels of the Pods",
                f"`labs kubectl -n {probe.namespace} get pods --show-labels`; what did the Service say of them before?",
            )
        )
    return followed


def _await_rules(probe: Probe, followed: Sequence[tuple[Object, list[Object]]]) -> None:
    """Wait a few seconds for kube-proxy's rules to say what the Services do: rules of before would answer too.

    Packet rules cannot be watched, so they are read again. Where they never agree, or cannot be read, requests decide.
    """
    deadline = time.monotonic() + probe.left(rules.SETTLE)
    while time.monotonic() < deadline:
        try:
            ways = rules.read(probe.api, probe.namespace)
        except kube.Unreachable:
            raise
        except LabsError:
            return
        if all(_as_declared(service, pods, rules.ways_of(service, ways)) for service, pods in followed):
            return
        probe.progress("kube-proxy has not followed yet")
        time.sleep(0.1)


def _as_declared(service: Object, pods: Sequence[Object], ways: Sequence[rules.Way]) -> bool:
    """Whether the ways in are the Service's ports and node ports, and lead to the ports of its ready Pods."""
    spec = service["spec"]  # of an ExternalName it has neither address nor, perhaps, ports
    entries, ends = set(), set()
    for port in spec.get("ports") or []:
        entries.add((spec.get("clusterIP", ""), port["port"]))
        if port.get("nodePort"):
            entries.add(("", port["nodePort"]))
        for pod in pods:
            if number := _port_of(pod, port.get("targetPort", port["port"])):
                ends.add((pod["status"]["podIP"], number))
    return entries == {(way.address, way.port) for way in ways} and ends == {
        (target.address, target.port) for way in ways for target in way.targets
    }


def _port_of(pod: Object, target: int | str) -> int:
    """The number of a Pod's port that a Service's targetPort means; 0 if there is none, or the Pod is not ready."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    if pod["metadata"].get("deletionTimestamp") or not any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    ):
        return 0
    if isinstance(target, int):
        return target
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    return next((port["containerPort"] for port in ports if port.get("name") == target), 0)


def _no_door(probe: Probe) -> Outcome:
    if ingresses := probe.list("networking.k8s.io/v1", "Ingress"):
        name = ingresses[0]["metadata"]["name"]
        return not_yet(
            "m1-outside/nobody-reads-it",
            f"The Ingress {name} has no address: an Ingress is a wish, and no controller in this cluster reads it.",
            f"Ingress {name}, status.loadBalancer",
            "What does every node do by itself, with kube-proxy alone?",
        )
    labels = {"app": "web"}
    elsewhere = [
        each["metadata"]["namespace"]
        for each in kube.list_objects(probe.api, "v1", "Service", fields="metadata.name=web")
        if each["metadata"]["namespace"] != probe.namespace
        and (each["spec"].get("selector") or {}) == labels
        and any(port.get("nodePort") for port in each["spec"]["ports"])
    ]
    if elsewhere:
        return not_yet(
            "m1-outside/other-namespace",
            f"There is a Service web with a node port in {elsewhere[0]}. It selects Pods of that namespace, where "
            "there are none.",
            f"Service web in {elsewhere[0]}",
            "A Service and its Pods share a namespace; `lab.apply` uses yours.",
        )
    return not_yet(
        "m1-outside/no-door",
        "Nobody outside can reach web: it has an address that only the cluster knows.",
        "Service web, spec.type and spec.ports[].nodePort",
        "`labs kubectl explain service.spec.type` lists the kinds of Service.",
    )


def _until_ok(probe: Probe, url: str) -> traffic.Load:
    """The last of a few tries: a Service that was made anew has an address that callers learn with a delay."""
    deadline = time.monotonic() + probe.left(2.0)
    while True:
        seen = load(probe, url, requests=1, timeout=2)
        if seen.ok or time.monotonic() > deadline:
            return seen
        probe.progress(f"{url} does not answer yet")
        load(probe, "http://load/healthz", requests=2, rate=5)  # 0.2 s of the load generator's own time
