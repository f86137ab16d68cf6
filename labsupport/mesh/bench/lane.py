"""Configuration of two real Envoys on loopback, a client's and a server's sidecar, for measurements without a cluster.

It is what the mesh translates, but for what a cluster would have to give: nothing is redirected, listeners are bound,
and what comes by ADS is in the bootstrap or in files. What is done for each request is the same.
"""

from __future__ import annotations

from typing import Any

from labsupport.mesh import changes, names
from labsupport.mesh.api import Name, Object
from labsupport.mesh.model import Model
from labsupport.mesh.proxy import bootstrap
from labsupport.mesh.proxy.settings import Settings
from labsupport.mesh.translate import authorization, envoy, inbound, routes, services, tls
from labsupport.mesh.translate.envoy import Json

Made = tuple[list[Json], list[Json]]  # listeners and clusters

SPACE = "bench"
CLIENT, SERVER = Name(SPACE, "client"), Name(SPACE, "server")
ROOTS_FILE = "roots.json"  # an SDS file, in the state directory: what peers are checked against
TARGET = f"{SPACE}/server/80"  # the Service's port, and the listener and cluster of it
_TRUST = {"name": names.TRUST, "sds_config": envoy.ADS}


def model(*, telemetry: bool) -> Model:
    """A Service of one Pod, and its client."""
    found = Model()
    for each in (*_pod(CLIENT, "10.244.0.12"), *_pod(SERVER, "10.244.0.11"), *_service(), _config(telemetry)):
        found = changes.applied(found, each)
    return found


def _config(telemetry: bool) -> Object:
    said = "Enabled" if telemetry else "Disabled"
    metadata = {"name": changes.MESH_CONFIG.name, "namespace": names.SYSTEM, "generation": 1}
    return {"kind": "MeshConfig", "metadata": metadata, "spec": {"telemetry": said}}


def _pod(name: Name, address: str) -> list[Object]:
    metadata = {"name": name.name, "namespace": SPACE, "labels": {names.PROXY: "redirect", "app": name.name}}
    containers = {"containers": [{"name": "app"}], "initContainers": [{"name": names.PROXY_CONTAINER}]}
    return [{
        "kind": "Pod", "metadata": metadata, "status": {"podIP": address, "phase": "Running"},
        "spec": {"serviceAccountName": name.name, **containers},
    }]  # fmt: skip


def _service() -> list[Object]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    spec = {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "selector": {"app": SERVER.name}}
    endpoint = {
        "addresses": ["10.244.0.11"],
        "conditions": {"ready": True},
        "targetRef": {"kind": "Pod", "name": SERVER.name, "namespace": SPACE},
    }
    metadata = {"name": SERVER.name, "namespace": SPACE}
    labels = {"labels": {"kubernetes.io/service-name": SERVER.name}}
    return [
        {"kind": "Service", "metadata": metadata, "spec": {**spec, "ports": ports}},
        {
            "kind": "EndpointSlice", "metadata": metadata | labels, "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}], "endpoints": [endpoint],
        },
    ]  # fmt: skip


def server(found: Model, application: int) -> Made:
    """Listeners and clusters of the server's proxy; its application is at that port of loopback."""
    made = inbound.listener(found, found.workloads[SERVER])
    # It was not redirected, so that it came to a port of which nothing is known.
    chains = [each for each in made["filter_chains"] if each["name"].startswith("any-")]
    rules = {each.key.name: each.body for each in authorization.translate(found, SERVER)}
    for chain in chains:
        for each in chain["filters"]:
            if filters := each["typed_config"].get("http_filters"):
                each["typed_config"]["http_filters"] = [rules.get(one["name"], one) for one in filters]
    clusters = [cluster(each, application) for each in (inbound.INBOUND, inbound.INBOUND_HTTP2)]
    return [bound({**made, "filter_chains": chains})], clusters


def client(found: Model, port: int) -> Made:
    """Those of the client's proxy; the server's is at that port of loopback."""
    service = found.services[SERVER]
    (number,) = service.ports
    (listener,) = services.listeners(found, service, number)
    attached = routes.attached_routes(found, service.name, number)
    text = routes.configuration(found, service.name, number, attached)
    for chain in listener["filter_chains"]:
        manager = chain["filters"][0]["typed_config"]
        del manager["rds"]
        manager["route_config"] = {**text, "validate_clusters": False}
    clusters = []
    for made in services.clusters(found, service, number):
        del made["eds_cluster_config"]
        clusters.append(made | cluster(made["name"], port))
    return [bound(listener)], clusters


def bound(listener: Json) -> Json:
    """Called itself, on loopback."""
    return {**listener, "address": envoy.address("127.0.0.1", 0), "bind_to_port": True}


def cluster(name: str, port: int) -> Json:
    """Leads to one port of loopback."""
    endpoint = {"endpoint": {"address": envoy.address("127.0.0.1", port)}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": name, "type": "STATIC", "load_assignment": assignment}


def configured(of: Name, state: str, control: int, listeners: list[Json], clusters: list[Json]) -> Json:
    """What the proxy of a Pod starts with; its secrets are in files in `state`, the control plane on loopback."""
    made = bootstrap.bootstrap(Settings(of.name, of.namespace, "uid", "10.244.0.9", of.name, state=state))
    (xds,) = (each for each in made["static_resources"]["clusters"] if each["name"] == names.CONTROL_CLUSTER)
    del xds["cluster_type"]
    xds |= cluster(names.CONTROL_CLUSTER, control)
    made["admin"] = {"address": envoy.address("127.0.0.1", 0)}
    made["static_resources"] = _by_files({"listeners": listeners, "clusters": [xds, *clusters]}, state)
    for left_out in ("dynamic_resources", "cluster_manager"):  # ADS, and a mark that needs a right
        made.pop(left_out)
    return made


def _by_files(body: Any, state: str) -> Any:
    if body == _TRUST:
        return {"name": names.TRUST, "sds_config": {"path_config_source": {"path": f"{state}/{ROOTS_FILE}"}}}
    if isinstance(body, dict):
        return {key: _by_files(value, state) for key, value in body.items() if key != "upstream_bind_config"}
    if isinstance(body, list):
        return [_by_files(each, state) for each in body]
    return body.replace(names.STATE, state) if isinstance(body, str) else body


def direct(body: str) -> Json:
    """A whole configuration of an Envoy that is the application: it answers each request with `body`."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": body}}}
    hosts = [{"name": "application", "domains": ["*"], "routes": [route]}]
    listener = {
        "name": "application",
        "address": envoy.address("127.0.0.1", 0),
        "filter_chains": [{"filters": [envoy.http("application", routes={"virtual_hosts": hosts})]}],
    }
    return {
        "admin": {"address": envoy.address("127.0.0.1", 0)},
        "static_resources": {"listeners": [listener]},
    }


def trust(roots: str) -> Json:
    """The content of ROOTS_FILE."""
    kind = {"@type": envoy.SECRET}
    return {"resources": [kind | tls.trust(roots)]}
