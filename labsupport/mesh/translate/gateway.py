"""The proxies of a Gateway: a listener for each port, and the routes of the hosts there.

The clusters are those that sidecars have, so that a request from outside goes on as one from inside does: by mTLS, with
the Gateway's own identity. The routes are made where those of Services are (routes.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from labsupport.mesh import gateways
from labsupport.mesh.api import Name, Reference
from labsupport.mesh.gateways import Gateway, Listener
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, reports, routes, tls, traffic
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import Key, Resource, of_workload
from labsupport.mesh.translate.routes import Entry, Place

# Seconds for a request's headers, and of silence in a stream or between requests: strangers may not hold what they do
# not use. A sidecar has no such limits, for its application had none.
HEADERS, SILENCE = "10s", "300s"
_NOBODY = {
    "address_prefix": "255.255.255.255",
    "prefix_len": 32,
}  # an empty list would mean private networks (1.40)
_HTTP2 = {"max_concurrent_streams": 100}  # Envoy's advice for an edge; its own default is without a bound


def translate(model: Model, pod: Name) -> list[Resource]:
    """The resources of one proxy of a Gateway; nothing if the Pod is none, or its Gateway is not there."""
    workload = model.workloads.get(pod)
    name = gateways.of_workload(workload) if workload else None
    gateway = model.gateways.get(name) if name else None
    if gateway is None or not gateways.is_ours(model, gateway):
        return []
    attached = gateways.attached(model, gateway)
    found, scope = [], of_workload(pod)
    usable = [each for each in gateways.served(gateway) if not gateways.unresolved(model, gateway, each)]
    for name in sorted({name for each in usable for _, _, name in each.certificates}):
        held, label = model.certificates[name], _secret(name)
        secret = tls.pair(label, held.chain, held.key)
        found.append(Resource(Key(envoy.SECRET, scope, label), secret, (gateway.reference,)))
    for port in sorted({each.port for each in usable}):
        here = [each for each in usable if each.port == port]
        sources = {reference for each in here for reference in attached[each.name]}
        label = f"gateway/{port}"
        found += [
            Resource(
                Key(envoy.LISTENER, scope, label),
                listener(model, label, here),
                (gateway.reference,),
            ),
            Resource(
                Key(envoy.ROUTES, scope, label),
                {"name": label, **configuration(model, gateway, here, attached)},
                (*sorted(sources), gateway.reference),
            ),
        ]
    return found


def _secret(name: Name) -> str:
    return f"certificate/{name}"


def listener(model: Model, name: str, listeners: list[Listener]) -> Json:
    """A port that anybody may call: what a stranger says of himself is believed nowhere."""
    manager = envoy.http(
        name,
        rds=name,
        filters=envoy.governed(),
        # The caller's address is the connection's; headers that lead Envoy (x-envoy-…) are taken away, also from
        # addresses of private networks, which all callers of a cluster have.
        use_remote_address=True,
        internal_address_config={"cidr_ranges": [_NOBODY]},
        forward_client_cert_details="SANITIZE",
        normalize_path=True,
        merge_slashes=True,
        strip_trailing_host_dot=True,
        request_headers_timeout=HEADERS,
        stream_idle_timeout=SILENCE,
        common_http_protocol_options={"idle_timeout": SILENCE},
        http2_protocol_options=_HTTP2,
        **reports.http(model, reports.INBOUND),
    )
    made: Json = {
        "name": name,
        "address": envoy.address("0.0.0.0", listeners[0].target),  # noqa: S104 (of the Pod)
        "traffic_direction": "OUTBOUND",
    }
    if listeners[0].protocol == gateways.HTTP:
        return {**made, "filter_chains": [{"name": "http", "filters": [manager]}]}
    # Which certificate is shown is told by the name in the client's TLS (SNI); which routes hold, by Host, as without.
    chains = [
        {
            "name": f"https {each.hostname}".strip(),
            **({"filter_chain_match": {"server_names": [each.hostname]}} if each.hostname else {}),
            "filters": [manager],
            "transport_socket": tls.public(_secret(held) for _, _, held in each.certificates),
        }
        for each in listeners
    ]
    return {**made, "listener_filters": envoy.inspectors()[:1], "filter_chains": chains}


def configuration(
    model: Model,
    gateway: Gateway,
    listeners: Iterable[Listener],
    attached: dict[str, dict[Reference, list[str]]],
) -> Json:
    """The route configuration of a port: a virtual host for each host that a listener or a route names.

    A request belongs to the listener that names its host most closely, and to that listener's routes alone. Among those
    the closest hostname comes first, then the rules' own order; what no rule matches goes on to the next hostname.
    """
    here = list(listeners)
    hosts = {each.hostname or gateways.ANY for each in here}
    hosts |= {host for each in here for found in attached[each.name].values() for host in found}
    return {
        # Clients call a port that may be another one than the listener's: through a forward, or a balancer.
        "ignore_port_in_host_matching": True,
        "virtual_hosts": [
            {"name": host, "domains": [host], "routes": _routes(model, host, here, attached)}
            for host in sorted(hosts)
        ],
    }


def _routes(
    model: Model, host: str, listeners: list[Listener], attached: dict[str, dict[Reference, list[str]]]
) -> list[Json]:
    """The routes for a host. What no route is for is answered 404."""
    taking = [each for each in listeners if gateways.covers(each.hostname or gateways.ANY, host)]
    if not taking:
        return []
    mine = max(taking, key=lambda each: gateways.specificity(each.hostname or gateways.ANY))
    place = Place(mine.port, lambda route, backend: gateways.permitted(model, route, backend))
    found: list[tuple[tuple[bool, int], Entry]] = []
    for reference, named in attached[mine.name].items():
        if any(gateways.covers(each, host) for each in named):
            # By the route's own hostnames: what is left of them at a listener with a closer name is that name.
            own = [
                each
                for each in model.routes[reference].hostnames or (gateways.ANY,)
                if gateways.covers(each, host)
            ]
            rank = max(map(gateways.specificity, own))
            found += [(rank, entry) for entry in routes.entries(model, [model.routes[reference]], place)]
    ordered = sorted(found, key=lambda each: (not each[0][0], -each[0][1], each[1].order))
    return [made for _, entry in ordered for made in _governed(model, entry.body)]


def _governed(model: Model, route: Json) -> list[Json]:
    """A route with the TrafficPolicy of the Service that it sends to: as if that had been called from inside.

    One that shares requests out among several Services has no retries, faults or hashing: each might say other things.
    """
    action: Json = route.get("route") or {}
    clusters: list[Json] = (action.get("weighted_clusters") or {}).get("clusters") or []
    if len(clusters) != 1 or clusters[0]["name"].count("/") != 2:
        return [route]
    namespace, name, port = clusters[0]["name"].split("/")
    policy = model.traffic_policy(Name(namespace, name), int(port))
    return traffic.routes({**route, **traffic.host(policy)}, policy)
