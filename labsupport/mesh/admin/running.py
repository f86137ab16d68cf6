"""What a proxy runs, in the words of our own resources: Services, routes, modes. Pure: from Envoy's own JSON.

Fields: https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.admin import policies

Json = Mapping[str, Any]
SECTIONS = {
    "ListenersConfigDump": ("dynamic_listeners", "active_state", "listener"),
    "ClustersConfigDump": ("dynamic_active_clusters", "", "cluster"),
    "RoutesConfigDump": ("dynamic_route_configs", "", "route_config"),
    "EndpointsConfigDump": ("dynamic_endpoint_configs", "", "endpoint_config"),
}


@dataclass(frozen=True)
class Route:
    """One rule as the proxy has it: for which requests, and what it does with them."""

    name: str
    match: str
    action: str


@dataclass(frozen=True)
class Outbound:
    """A port of a Service as this proxy's application reaches it."""

    service: str  # "shop/orders"
    port: int
    address: str
    speaks: str  # http, tcp, or auto
    tls: str  # mesh: to all of its Pods; mixed: to those in the mesh; none
    identities: tuple[str, ...]  # SPIFFE IDs that may answer
    endpoints: tuple[str, ...]
    routes: tuple[Route, ...]
    policy: str = ""  # the TrafficPolicy that holds, "shop/steady"
    traffic: tuple[str, ...] = ()  # what it says beyond its retries, which are the routes'


@dataclass(frozen=True)
class Inbound:
    """A port of this proxy's Pod as others reach it; `port` is "any" for those that no Service names."""

    port: str
    mode: str  # STRICT or PERMISSIVE
    speaks: str


@dataclass(frozen=True)
class Running:
    """A proxy's configuration. `version` tells two of them apart."""

    outbound: tuple[Outbound, ...]
    inbound: tuple[Inbound, ...]


def resources(config_dump: Json) -> dict[str, list[Json]]:
    """Envoy's own resources of an answer to /config_dump?include_eds: listeners, clusters, routes, endpoints."""
    found: dict[str, list[Json]] = {}
    for section in config_dump.get("configs") or ():
        kind = section["@type"].rpartition(".")[2]
        if kind in SECTIONS:
            entries, state, body = SECTIONS[kind]
            held = [(each.get(state) or {}) if state else each for each in section.get(entries) or ()]
            key = {"route_config": "routes", "endpoint_config": "endpoints"}.get(body, f"{body}s")
            found[key] = [each[body] for each in held if body in each]
    return found


def read(found: Mapping[str, list[Json]]) -> Running:
    """The configuration in our words; `found` as `resources` gives it."""
    clusters = {each["name"]: each for each in found.get("clusters", ())}
    routes = {each["name"]: each for each in found.get("routes", ())}
    endpoints = {each["cluster_name"]: each for each in found.get("endpoints", ())}
    listeners = {each["name"]: each for each in found.get("listeners", ())}
    outbound = [
        _outbound(listener, clusters, routes, endpoints)
        for name, listener in sorted(listeners.items())
        if name.count("/") == 2
    ]
    inbound = tuple(_inbound(listeners["inbound"])) if "inbound" in listeners else ()
    return Running(tuple(outbound), inbound)


def _outbound(
    listener: Json, clusters: Mapping[str, Json], routes: Mapping[str, Json], endpoints: Mapping[str, Json]
) -> Outbound:
    name = listener["name"].partition("@")[0]
    service, _, port = name.rpartition("/")
    as_http, as_bytes = clusters.get(name), clusters.get(f"{name}/tcp")
    speaks = "auto" if as_http and as_bytes else "http" if as_http else "tcp"
    tls, identities = _tls(as_http or as_bytes or {})
    hosts = routes.get(name, {}).get("virtual_hosts") or ()
    return Outbound(
        service,
        int(port),
        _address(listener["address"]),
        speaks,
        tls,
        identities,
        tuple(_endpoints(endpoints.get(name, {}))),
        tuple(_route(each) for host in hosts for each in host.get("routes") or ()),
        policies.name(as_http or as_bytes or {}),
        policies.words(as_http or as_bytes or {}, routes.get(name, {})),
    )


def _endpoints(assignment: Json) -> Iterator[str]:
    for locality in assignment.get("endpoints") or ():
        for each in locality.get("lb_endpoints") or ():
            matched = (
                (each.get("metadata") or {}).get("filter_metadata", {}).get("envoy.transport_socket_match")
            )
            yield _address(each["endpoint"]["address"]) + ("" if matched else " (plain)")


def _tls(cluster: Json) -> tuple[str, tuple[str, ...]]:
    """How a cluster's endpoints are spoken to, and which identities they may have."""
    sockets = [each["transport_socket"] for each in cluster.get("transport_socket_matches") or ()]
    kind = "mixed" if sockets else "mesh" if "transport_socket" in cluster else "none"
    for each in [*sockets, cluster.get("transport_socket") or {}]:
        context = (each.get("typed_config") or {}).get("common_tls_context")
        if context:
            matchers = context["combined_validation_context"]["default_validation_context"]
            said = [each["matcher"] for each in matchers["match_typed_subject_alt_names"]]
            return kind, tuple(each.get("exact") or f"{each['prefix']}*" for each in said)
    return kind, ()


def _inbound(listener: Json) -> Iterator[Inbound]:
    chains: dict[str, list[str]] = {}
    for each in listener.get("filter_chains") or ():
        port, _, kind = str(each["name"]).partition("-")
        if kind:
            chains.setdefault(port, []).append(kind)
    for port, kinds in sorted(chains.items(), key=lambda item: (not item[0].isdigit(), item[0].zfill(5))):
        http, tcp = "mesh" in kinds, "mesh-tcp" in kinds
        speaks = "auto" if http and tcp else "http" if http else "tcp"
        yield Inbound(
            port, "PERMISSIVE" if any(each.startswith("plain") for each in kinds) else "STRICT", speaks
        )


def _address(address: Json) -> str:
    found = address["socket_address"]
    return f"{found['address']}:{found['port_value']}"


def _route(route: Json) -> Route:
    return Route(str(route.get("name", "")), _match(route.get("match") or {}), _action(route))


def _match(match: Json) -> str:
    words = []
    if path := match.get("path_separated_prefix"):
        words.append(f"{path} and below")
    elif (prefix := match.get("prefix")) and prefix != "/":
        words.append(f"{prefix}...")
    elif path := match.get("path"):
        words.append(f"exactly {path}")
    elif regex := match.get("safe_regex"):
        words.append(f"path ~ {regex['regex']}")
    if "grpc" in match:
        words.insert(0, "gRPC")
    entries = [*(match.get("headers") or ()), *(match.get("query_parameters") or ())]
    for each in entries:
        how = each.get("string_match") or {}
        value = f"= {how['exact']}" if "exact" in how else f"~ {how.get('safe_regex', {}).get('regex', '')}"
        words.append(f"{each['name'].removeprefix(':')} {value}")
    return ", ".join(words) or "everything"


def _action(route: Json) -> str:
    changes = [
        f"{side} headers"
        for side in ("request", "response")
        if route.get(f"{side}_headers_to_add") or route.get(f"{side}_headers_to_remove")
    ]
    also = f" ({', '.join(changes)} changed)" if changes else ""
    if "direct_response" in route:
        return f"answer {route['direct_response']['status']}"
    if redirect := route.get("redirect"):
        return (
            f"redirect ({redirect.get('response_code', 'MOVED_PERMANENTLY').replace('_', ' ').lower()}){also}"
        )
    action = route.get("route") or {}
    weighted = (action.get("weighted_clusters") or {}).get("clusters") or ()
    total = sum(each.get("weight", 0) for each in weighted)
    if len(weighted) > 1:
        shares = (f"{100 * each.get('weight', 0) / total:.4g} % {each['name']}" for each in weighted)
        target = ", ".join(shares)
    else:
        target = weighted[0]["name"] if weighted else action.get("cluster", "nowhere")
    extra = [f"within {action['timeout']}"] if action.get("timeout", "0s") != "0s" else []
    extra += ["path rewritten"] if "prefix_rewrite" in action or "regex_rewrite" in action else []
    extra += [f"as host {action['host_rewrite_literal']}"] if "host_rewrite_literal" in action else []
    extra += [f"copied to {each['cluster']}" for each in action.get("request_mirror_policies") or ()]
    extra += policies.retries(action)
    return f"to {target}{also}" + "".join(f", {each}" for each in extra)


def identity(uri: str) -> str:
    """A SPIFFE ID as people say it: namespace and ServiceAccount."""
    prefix = f"spiffe://{names.TRUST_DOMAIN}/ns/"
    return uri.removeprefix(prefix).replace("/sa/", "/") if uri.startswith(prefix) else uri
