"""A small mesh as the API server would show it, for tests: objects in Kubernetes' own form, and the model of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.api import Name
from labsupport.mesh.changes import applied
from labsupport.mesh.model import Model

Object = dict[str, Any]


def service(
    name: str, *ports: Object, namespace: str = "shop", address: str = "10.96.0.1", app: str = ""
) -> Object:
    """A Service; without ports one of HTTP, 80 to 8080."""
    ports = ports or ({"name": "http", "port": 80, "targetPort": 8080},)
    spec = {"clusterIP": address, "clusterIPs": [address], "ports": list(ports)}
    spec["selector"] = {"app": app or name}
    return {"kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def endpoint_slice(
    of: str, *pods: str, namespace: str = "shop", ports: Iterable[Object] = (), **conditions: bool
) -> Object:
    """An EndpointSlice of Pods named "name@address"."""
    entries = []
    for pod in pods:
        name, _, address = pod.partition("@")
        target = {"kind": "Pod", "name": name, "namespace": namespace}
        entries.append(
            {"addresses": [address], "conditions": {"ready": True, **conditions}, "targetRef": target}
        )
    labels = {"kubernetes.io/service-name": of}
    return {
        "kind": "EndpointSlice",
        "metadata": {"name": f"{of}-1", "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "ports": list(ports) or [{"name": "http", "port": 8080}],
        "endpoints": entries,
    }


def pod(
    name: str,
    address: str,
    *,
    account: str = "default",
    namespace: str = "shop",
    mesh: bool = True,
    **annotations: str,
) -> Object:
    """A running Pod, with a proxy unless `mesh` is false."""
    metadata: Object = {"name": name, "namespace": namespace}
    spec: Object = {"serviceAccountName": account, "containers": [{"name": "app"}]}
    if mesh:
        metadata |= {
            "labels": {names.PROXY: "redirect", "app": name.rpartition("-")[0]},
            "annotations": annotations,
        }
        spec["initContainers"] = [{"name": names.PROXY_CONTAINER}]
    return {
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {"podIP": address, "phase": "Running"},
    }


def route(
    name: str,
    *rules: Object,
    parent: str = "orders",
    namespace: str = "shop",
    kind: str = "HTTPRoute",
    **parent_ref: Any,
) -> Object:
    """A route of a Service."""
    reference = {"group": "", "kind": "Service", "name": parent, **parent_ref}
    metadata = {
        "name": name,
        "namespace": namespace,
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"kind": kind, "metadata": metadata, "spec": {"parentRefs": [reference], "rules": list(rules)}}


def policy(name: str, *rules: Object, **spec: Any) -> Object:
    """An AuthorizationPolicy in the namespace shop."""
    metadata = {"name": name, "namespace": "shop", "generation": 1}
    return {"kind": "AuthorizationPolicy", "metadata": metadata, "spec": {"rules": list(rules), **spec}}


def to(*backends: str, **rule: Any) -> Object:
    """A rule that sends to Services named "name" or "name:weight"."""
    refs: list[Object] = []
    for each in backends:
        name, _, weight = each.partition(":")
        refs.append({"name": name, "port": 80, **({"weight": int(weight)} if weight else {})})
    return {"backendRefs": refs, **rule}


def traffic_policy(name: str, *targets: str, namespace: str = "shop", **spec: Any) -> Object:
    """A TrafficPolicy of Services named "name" or "name:port"."""
    refs: list[Object] = []
    for each in targets:
        service_, _, port = each.partition(":")
        refs.append(
            {"group": "", "kind": "Service", "name": service_, **({"port": int(port)} if port else {})}
        )
    metadata = {
        "name": name,
        "namespace": namespace,
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"kind": "TrafficPolicy", "metadata": metadata, "spec": {"targetRefs": refs, **spec}}


def traffic_policies() -> list[Object]:
    """Policies of Services "one" to "four" that say, together, everything that can be said."""
    retries = {
        "attempts": 2,
        "when": ["GatewayError", "Reset", "ConnectFailure", "RefusedStream", "Unavailable"],
        "statusCodes": [429, 409],
        "methods": ["GET", "POST"],
        "perTryTimeout": "1s500ms",
        "backoff": {"base": "10ms", "max": "1m"},
        "budget": {"percent": 50, "minConcurrent": 10},
    }
    outlier = {"consecutiveErrors": 3, "interval": "500ms", "baseEjection": "5s", "maxEjectedPercent": 100}
    limits = {"connections": 100, "pendingRequests": 10, "requests": 50, "requestsPerSecond": 200}
    faults = {"delay": {"fixed": "2s", "percent": 10}, "abort": {"status": 503, "percent": 0.5}}
    header = {"policy": "Hash", "hash": {"header": "x-user"}}
    cookie = {"policy": "Hash", "hash": {"cookie": {"name": "u", "ttl": "1h"}}}
    return [
        traffic_policy("one", "one", loadBalancing=header, retries=retries, outlier=outlier, limits=limits),
        traffic_policy("two", "two", loadBalancing=cookie, faults=faults, retries={"attempts": 0}),
        traffic_policy("three", "three", loadBalancing={"policy": "Random"}, outlier={}, retries={
            "attempts": 1, "when": ["ServerError"]}),
        traffic_policy("four", "four", loadBalancing={"policy": "RoundRobin"}, limits={"connections": 1}, retries={
            "attempts": 1}),
    ]  # fmt: skip


def model(*objects: Object) -> Model:
    """The model of these objects."""
    made = Model(roots="-----BEGIN CERTIFICATE-----\n")
    for each in objects:
        made = applied(made, each)
    return made


def shop() -> list[Object]:
    """Two Services of two Pods each, all in the mesh: orders, and orders-v2."""
    return [
        service("orders", address="10.96.0.1"),
        endpoint_slice("orders", "orders-1@10.244.0.11", "orders-2@10.244.0.12"),
        pod("orders-1", "10.244.0.11", account="orders"),
        pod("orders-2", "10.244.0.12", account="orders"),
        service("orders-v2", address="10.96.0.2"),
        endpoint_slice("orders-v2", "orders-v2-1@10.244.0.21"),
        pod("orders-v2-1", "10.244.0.21", account="orders"),
    ]


EDGE_POD = Name("shop", "edge-labs-mesh-1")


def listener(name: str, port: int = 80, **fields: Any) -> Object:
    """A listener of a Gateway, for HTTP if nothing else is said."""
    return {"name": name, "port": port, "protocol": "HTTP", **fields}


def edge(*listeners: Object, **spec: Any) -> list[Object]:
    """The Gateway shop/edge with its class, its Service and one ready proxy."""
    proxy = pod(EDGE_POD.name, "10.244.0.50", account="edge-labs-mesh")
    proxy["metadata"]["labels"] = {names.PROXY: names.GATEWAY_PROXY, names.GATEWAY_LABEL: "edge"}
    proxy["spec"]["containers"] = [{"name": names.PROXY_CONTAINER}]
    metadata = {"name": "edge", "namespace": "shop", "generation": 1, "uid": "u-1"}
    listeners = listeners or (listener("http"),)
    return [
        {
            "kind": "GatewayClass",
            "metadata": {"name": names.GATEWAY_CLASS, "generation": 1},
            "spec": {"controllerName": names.CONTROLLER},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": metadata,
            "spec": {"gatewayClassName": names.GATEWAY_CLASS, "listeners": list(listeners), **spec},
        },
        service("edge-labs-mesh", {"name": "http-80", "port": 80, "targetPort": 10080}, address="10.96.0.50"),
        endpoint_slice(
            "edge-labs-mesh", f"{EDGE_POD.name}@10.244.0.50", ports=[{"name": "http-80", "port": 10080}]
        ),
        proxy,
    ]


def at_gateway(
    name: str,
    *rules: Object,
    namespace: str = "shop",
    hostnames: Iterable[str] = (),
    kind: str = "HTTPRoute",
    **parent_ref: Any,
) -> Object:
    """A route at the Gateway shop/edge."""
    made = route(name, *rules, namespace=namespace, kind=kind)
    made["spec"]["parentRefs"] = [{"name": "edge", "namespace": "shop", **parent_ref}]
    if named := list(hostnames):
        made["spec"]["hostnames"] = named
    return made
