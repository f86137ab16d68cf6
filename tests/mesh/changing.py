"""Random meshes, and random changes of them, for properties that hold for all: hypothesis' strategies.

Few names, so that objects meet: a route whose Service comes later, a Pod behind two Services.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from labsupport.mesh import names
from labsupport.mesh.api import Name
from tests.mesh.samples import (
    Object,
    endpoint_slice,
    listener,
    pod,
    policy,
    route,
    service,
    to,
    traffic_policy,
)

SPACES = ("shop", "other")
SERVICES = ("a", "b")
PODS = ("a-1", "a-2", "b-1")
EDGE = "edge-1"  # a Pod of the Gateway edge
CONNECTED = {
    Name(space, name) for space in SPACES for name in (*PODS[:2], EDGE)
}  # Pods whose proxies are here


class Event(NamedTuple):
    """A watch tells that an object is so now, or gone."""

    object: Object
    gone: bool


def _ports(draw: Any) -> list[Object]:
    kinds = draw(st.sets(st.sampled_from(["http", "grpc", "tcp", "any", "named"]), min_size=1, max_size=3))
    numbers = {"http": 80, "grpc": 7070, "tcp": 9090, "any": 8081, "named": 81}
    targets: dict[str, int | str] = {"http": 8080, "grpc": 7070, "tcp": 8080, "any": 8081, "named": "web"}
    return [{"name": each, "port": numbers[each], "targetPort": targets[each]} for each in sorted(kinds)]


@st.composite
def services(draw: Any, space: str) -> Object:
    made = service(draw(st.sampled_from(SERVICES)), *_ports(draw), namespace=space)
    addresses = draw(st.sampled_from([["10.96.0.1"], ["10.96.0.2"], ["10.96.0.3", "10.96.0.4"], ["None"]]))
    made["spec"] |= {"clusterIP": addresses[0], "clusterIPs": addresses}
    made["spec"]["selector"] = draw(st.sampled_from([{"app": "a"}, {"app": "b"}, {}]))
    return made


@st.composite
def slices(draw: Any, space: str) -> Object:
    of = draw(st.sampled_from(SERVICES))
    behind = draw(
        st.lists(st.sampled_from([f"{each}@10.244.0.{i}" for i, each in enumerate(PODS, 1)]), max_size=3)
    )
    made = endpoint_slice(
        of, *behind, namespace=space, ports=[{"name": p, "port": 8080} for p in ("http", "any")]
    )
    made["metadata"]["name"] = draw(
        st.sampled_from(["one", "two"])
    )  # a slice may also move to another Service
    for each in made["endpoints"]:
        ready = draw(st.booleans())
        each["conditions"] = {
            "ready": ready,
            "serving": ready or draw(st.booleans()),
            "terminating": not ready,
        }
    return made


@st.composite
def pods(draw: Any, space: str) -> Object:
    name = draw(st.sampled_from(PODS))
    made = pod(name, f"10.244.0.{PODS.index(name) + 1}", namespace=space, mesh=draw(st.booleans()))
    made["spec"]["serviceAccountName"] = draw(st.sampled_from(["one", "two"]))
    made["spec"]["containers"][0]["ports"] = [
        {"name": "web", "containerPort": draw(st.sampled_from([8080, 8082]))}
    ]
    if "labels" in made["metadata"]:
        made["metadata"]["labels"][names.PROXY] = draw(st.sampled_from(names.CAPTURES))
        made["metadata"]["annotations"] = draw(st.sampled_from([{}, {names.EXCLUDE_INBOUND: "8080"}]))
    made["status"]["phase"] = draw(st.sampled_from(["Running", "Running", "Succeeded"]))
    return made


@st.composite
def routes(draw: Any, space: str) -> Object:
    backends = draw(st.lists(st.sampled_from(["a", "b:2", "c", "b:0"]), max_size=2))
    rule = to(*backends)
    for each in rule["backendRefs"]:
        each["namespace"] = draw(st.sampled_from(SPACES))
    if draw(st.booleans()):
        copy = {"name": "b", "port": 80, "namespace": draw(st.sampled_from(SPACES))}
        rule["filters"] = [{"type": "RequestMirror", "requestMirror": {"backendRef": copy}}]
    where = draw(st.sampled_from([{}, {"port": 80}, {"sectionName": "any"}]))
    parent, of = draw(st.sampled_from(SERVICES)), draw(st.sampled_from(SPACES))
    kind = draw(st.sampled_from(["HTTPRoute", "HTTPRoute", "GRPCRoute"]))
    name = draw(st.sampled_from(["one", "two"]))
    made = route(name, rule, parent=parent, namespace=space, kind=kind, **where)
    made["spec"]["parentRefs"][0]["namespace"] = of
    if draw(st.booleans()):
        made["spec"]["parentRefs"].append({"name": "edge", "namespace": of})
        made["spec"]["hostnames"] = draw(st.sampled_from([[], ["x.a.example"], ["*.example", "b.example"]]))
    return made


def edge_pod(space: str) -> Object:
    made = pod(EDGE, "10.244.0.50", namespace=space)
    made["metadata"]["labels"] = {names.PROXY: names.GATEWAY_PROXY, names.GATEWAY_LABEL: "edge"}
    made["spec"]["containers"] = [{"name": names.PROXY_CONTAINER}]
    return made


def gateway(space: str, class_: str = "labs-mesh", spaces: str = "Same", hostname: str = "") -> Object:
    allowed = {"namespaces": {"from": spaces, "selector": {"matchLabels": {"edge": "yes"}}}}
    listeners = [listener("one", hostname=hostname, allowedRoutes=allowed), listener("two", port=8080)]
    metadata = {"name": "edge", "namespace": space, "generation": 1}
    spec = {"gatewayClassName": class_, "listeners": listeners}
    return {"kind": "Gateway", "metadata": metadata, "spec": spec}


@st.composite
def edges(draw: Any, space: str) -> Object:
    if draw(st.booleans()):
        spaces = draw(st.sampled_from(["Same", "All", "Selector"]))
        class_ = draw(st.sampled_from(["labs-mesh", "labs-mesh", "other"]))
        return gateway(space, class_, spaces, draw(st.sampled_from(["", "*.a.example"])))
    metadata = {"name": space, "labels": draw(st.sampled_from([{}, {"edge": "yes"}]))}
    grant = {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "shop"}]}
    grant["to"] = [draw(st.sampled_from([{"group": "", "kind": "Service"}, {"group": "", "kind": "Secret"}]))]
    ours = draw(st.sampled_from([names.CONTROLLER, "example.com/other"]))
    return draw(st.sampled_from([
        edge_pod(space),
        {"kind": "Namespace", "metadata": metadata},
        {"kind": "ReferenceGrant", "metadata": {"name": "one", "namespace": space}, "spec": grant},
        {"kind": "GatewayClass", "metadata": {"name": "labs-mesh"}, "spec": {"controllerName": ours}},
    ]))  # fmt: skip


@st.composite
def others(draw: Any, space: str) -> Object:
    metadata = {"name": "default", "namespace": space, "generation": 1}
    mode = {"mode": draw(st.sampled_from(["STRICT", "PERMISSIVE"])), "port": 8081}
    return draw(st.sampled_from([
        {"kind": "PeerAuthentication", "metadata": metadata, "spec": {"mode": mode["mode"]}},
        {"kind": "PeerAuthentication", "metadata": metadata, "spec": {"ports": [mode]}},
        {"kind": "MeshConfig", "metadata": {"name": "mesh", "namespace": names.SYSTEM, "generation": 1},
         "spec": {"defaultMode": mode["mode"], "defaultEgress": draw(st.sampled_from(["Allow", "Refuse"]))}},
        {"kind": "EgressPolicy", "metadata": metadata, "spec": draw(st.sampled_from([
            {"mode": "Allow"}, {"mode": "Refuse"},
            {"mode": "Refuse", "allow": [{"hosts": ["*.example"], "ports": [80, 443]}, {"cidrs": ["10.0.0.0/8"]}]},
        ]))},
    ]))  # fmt: skip


@st.composite
def policies(draw: Any, space: str) -> Object:
    targets = draw(st.lists(st.sampled_from(["a", "b", "a:80", "b:9090", "c"]), min_size=1, max_size=2))
    made = traffic_policy(draw(st.sampled_from(["one", "two", "three"])), *targets, namespace=space)
    made["metadata"]["creationTimestamp"] = draw(
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"])
    )
    made["spec"] |= draw(st.sampled_from([
        {"retries": {"attempts": 1}}, {"limits": {"requests": 2}}, {"faults": {"abort": {"status": 500}}}
    ]))  # fmt: skip
    return made


@st.composite
def authorizations(draw: Any, space: str) -> Object:
    call = draw(
        st.sampled_from([{"paths": ["/a"]}, {"ports": [8080]}, {"ports": [8081], "methods": ["GET"]}])
    )
    spec = {
        "action": draw(st.sampled_from(["Allow", "Deny"])),
        "mode": draw(st.sampled_from(["Enforce", "Audit"])),
    }
    if draw(st.booleans()):
        spec["selector"] = {"matchLabels": {"app": draw(st.sampled_from(SERVICES))}}
    rules = draw(
        st.lists(st.sampled_from([{"to": [call]}, {"from": [{"namespaces": ["shop"]}]}]), max_size=2)
    )
    made = policy(draw(st.sampled_from(["one", "two"])), *rules, **spec)
    made["metadata"]["namespace"] = space
    return made


@st.composite
def events(draw: Any) -> Event:
    kind = draw(st.sampled_from([services, slices, pods, routes, edges, others, policies, authorizations]))
    return Event(draw(kind(draw(st.sampled_from(SPACES)))), draw(st.integers(0, 3)) == 0)


def world() -> list[Object]:
    """What there is before anything changes: enough that each change meets something."""
    ours = {"controllerName": names.CONTROLLER}
    found: list[Object] = [{"kind": "GatewayClass", "metadata": {"name": "labs-mesh"}, "spec": ours}]
    ports = [
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "any", "port": 8081, "targetPort": "web"},
        {"name": "tcp", "port": 9090, "targetPort": 9090},
    ]
    for number, space in enumerate(SPACES):
        for name in SERVICES:
            address = f"10.96.{number}.{SERVICES.index(name)}"
            found.append(service(name, *ports, namespace=space, address=address, app="a"))
        behind = [f"{each}@10.244.0.{i}" for i, each in enumerate(PODS, 1)]
        found.append(endpoint_slice("a", *behind, namespace=space))
        found[-1]["metadata"]["name"] = "one"
        found += [pod(each, f"10.244.0.{i}", namespace=space) for i, each in enumerate(PODS, 1)]
        found[-1]["metadata"]["labels"][names.PROXY] = "env"
        rule = to("a", "b")
        for each in rule["backendRefs"]:
            each["namespace"] = SPACES[1 - number]
        found.append(route("one", rule, parent="a", namespace=space))
        found[-1]["spec"]["parentRefs"].append({"name": "edge", "namespace": space})
        found += [gateway(space), edge_pod(space)]
        found.append(route("two", to("b"), parent="b", namespace=space))
        found[-1]["spec"]["parentRefs"][0]["namespace"] = SPACES[1 - number]
    return found
