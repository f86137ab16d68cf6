"""A Service as its clients' proxies see it: a listener at its address, clusters, endpoints.

For each port P of Service N/S: listener, route configuration and cluster "N/S/P"; cluster "N/S/P/tcp" for what is no
HTTP. Routes are in routes.py.
"""

from __future__ import annotations

from labsupport.mesh import api, names
from labsupport.mesh.api import Name, Port, Reference, Service
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, reports, tls, traffic
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import CAPTURED, EVERYONE, Key, Resource

MESH = "mesh"  # in an endpoint's metadata: its proxy answers mTLS
CONNECT_TIMEOUT = "5s"
SNIFF_TIMEOUT = "1s"  # for the client's first bytes where a port does not say what it speaks


def cluster_name(service: Name, port: int, *, tcp: bool = False) -> str:
    """The name of a port's cluster, "shop/orders/80"."""
    return f"{service}/{port}/tcp" if tcp else f"{service}/{port}"


def translate(model: Model, name: Name) -> list[Resource]:
    """Everything of a Service but its routes; nothing if there is none."""
    service = model.services.get(name)
    if service is None:
        return []
    source = (Reference("Service", *name),)
    found = []
    for port in service.ports:
        for listener in listeners(model, service, port):
            found.append(Resource(Key(envoy.LISTENER, CAPTURED, listener["name"]), listener, source))
        for cluster in clusters(model, service, port):
            policy = model.traffic_policy(name, port.number)
            made_of = (*source, policy.reference) if policy else source
            found.append(Resource(Key(envoy.CLUSTER, EVERYONE, cluster["name"]), cluster, made_of))
        assignment = endpoints(model, service, port)
        found.append(Resource(Key(envoy.ENDPOINTS, EVERYONE, assignment["cluster_name"]), assignment, source))
    return found


def speaks_http(port: Port) -> bool:
    """Whether routes apply to a port: it speaks HTTP, or may."""
    return port.protocol in (api.HTTP, api.HTTP2, api.AUTO)


def speaks_bytes(port: Port) -> bool:
    """Whether what comes to a port may be no HTTP."""
    return port.protocol in (api.TCP, api.TLS, api.AUTO)


def clusters(model: Model, service: Service, port: Port) -> list[Json]:
    """The clusters of a port: one for HTTP, one for bytes."""
    asked = {(each.address, number) for each, number, _ in chosen(model, service, port)}
    # One that ends is asked no more; its Pod is gone before its endpoint, and must not look like one outside the mesh.
    behind = [
        (each, number, workload)
        for each, number, workload in model.endpoints(service.name, port)
        if (each.address, number) in asked or not each.terminating
    ]
    meshed = [workload for _, number, workload in behind if workload and workload.answers_mtls(number)]
    identities = {workload.identity for workload in meshed}
    pure = len(meshed) == len(behind)
    sni = names.server_name(*service.name, port.number)
    found = []
    if speaks_http(port):
        # Between sidecars HTTP/2, whatever the application speaks. With some Pods outside the mesh one cluster cannot
        # have both, so that it speaks the application's own protocol to all until they are in.
        second = pure or port.protocol == api.HTTP2
        options = envoy.HTTP2 if second else envoy.HTTP1
        inside = tls.upstream(identities, [names.ALPN_MESH, "h2" if second else "http/1.1"], sni)
        found.append(_cluster(service.name, port, inside, pure=pure, tcp=False, options=options))
    if speaks_bytes(port):
        inside = tls.upstream(identities, [names.ALPN_TCP, names.ALPN_MESH], sni)
        found.append(_cluster(service.name, port, inside, pure=pure, tcp=True))
    policy = model.traffic_policy(service.name, port.number)
    return [traffic.cluster(each, policy) for each in found]


def _cluster(
    service: Name, port: Port, inside: Json, *, pure: bool, tcp: bool, options: Json | None = None
) -> Json:
    cluster: Json = {
        "name": cluster_name(service, port.number, tcp=tcp),
        "type": "EDS",
        "eds_cluster_config": {"eds_config": envoy.ADS, "service_name": cluster_name(service, port.number)},
        "connect_timeout": CONNECT_TIMEOUT,
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": envoy.UNLIMITED,
        # Kubernetes' readiness decides who is asked. Envoy's own idea that too many are ill would spread requests to
        # those too.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
    }
    if options:
        cluster["typed_extension_protocol_options"] = options
    if pure:
        return cluster | {"transport_socket": inside}
    return cluster | {
        "transport_socket_matches": [
            {"name": MESH, "match": {MESH: "true"}, "transport_socket": inside},
            {"name": "plain", "match": {}, "transport_socket": envoy.RAW},
        ]
    }


def chosen(model: Model, service: Service, port: Port) -> list[tuple[api.Endpoint, int, api.Workload | None]]:
    """The endpoints that are asked: those that are ready, else those that still serve (KEP-1669, as in kube-proxy)."""
    behind = model.endpoints(service.name, port)
    return [each for each in behind if each[0].ready] or [each for each in behind if each[0].serving]


def endpoints(model: Model, service: Service, port: Port) -> Json:
    """The endpoints of a port that are asked."""
    found = []
    for endpoint, number, workload in chosen(model, service, port):
        one: Json = {"endpoint": {"address": envoy.address(endpoint.address, number)}}
        if workload and workload.answers_mtls(number):
            one["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {MESH: "true"}}}
        found.append(one)
    return {
        "cluster_name": cluster_name(service.name, port.number),
        "endpoints": [{"lb_endpoints": found}] if found else [],
    }


def listeners(model: Model, service: Service, port: Port) -> list[Json]:
    """A listener for each cluster address of a port. It binds nothing: connections are handed over by `outbound`."""
    name = cluster_name(service.name, port.number)
    told, told_bytes = (each(model, reports.OUTBOUND) for each in (reports.http, reports.tcp))
    outward = envoy.http(f"outbound.{name}", rds=name, filters=envoy.governed(), **told)
    as_http = {"name": "http", "filters": [outward]}
    as_bytes = {"name": "tcp", "filters": [envoy.tcp(f"outbound.{name}", f"{name}/tcp", **told_bytes)]}
    body: Json = {"bind_to_port": False, "traffic_direction": "OUTBOUND"}
    if port.protocol == api.AUTO:
        # Without raw_buffer, TLS whose client offers http/1.1 would be taken for HTTP. HTTP/2 goes on as bytes: what
        # the application would answer to HTTP/1.1 between the proxies is not known.
        plain = {"transport_protocol": "raw_buffer", "application_protocols": ["http/1.1", "http/1.0"]}
        body |= {
            "listener_filters": envoy.inspectors(),
            "listener_filters_timeout": SNIFF_TIMEOUT,
            "continue_on_listener_filters_timeout": True,
            "filter_chains": [as_http | {"filter_chain_match": plain}],
            "default_filter_chain": as_bytes,
        }
    else:
        body["filter_chains"] = [as_http if speaks_http(port) else as_bytes]
    several = len(service.addresses) > 1
    return [
        {"name": f"{name}@{own}" if several else name, "address": envoy.address(own, port.number), **body}
        for own in service.addresses
    ]
