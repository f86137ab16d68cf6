"""Reading what an Envoy says of itself: /config_dump and /clusters of its admin interface, as a way that can be drawn.

Fields: https://www.envoyproxy.io/docs/envoy/latest/api-v3/admin/v3/config_dump.proto
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from labsupport.draw.proxymap import Cluster, Endpoint, Listener, Route, RouteList, Way

Json = Mapping[str, Any]
CONTROL_PLANE = "from the control plane"


def read(config_dump: Json, clusters: Json) -> Way:
    """The way of requests, from the answers to GET /config_dump and GET /clusters?format=json."""
    sections = {
        str(each.get("@type", "")).rpartition(".")[2]: each for each in config_dump.get("configs", ())
    }
    return Way(
        tuple(_listeners(sections.get("ListenersConfigDump", {}))),
        tuple(
            _route_lists(
                sections.get("RoutesConfigDump", {}), _asked_for(sections.get("ListenersConfigDump", {}))
            )
        ),
        tuple(_clusters(sections.get("ClustersConfigDump", {}), clusters)),
    )


def _listeners(section: Json) -> Iterator[Listener]:
    found = [each.get("listener", {}) for each in section.get("static_listeners", ())]
    found += [
        (each.get("active_state") or {}).get("listener", {}) for each in section.get("dynamic_listeners", ())
    ]
    for listener in found:
        routes = ""
        for chain in listener.get("filter_chains", ()):
            for entry in chain.get("filters", ()):
                settings = entry.get("typed_config") or {}
                routes = (settings.get("rds") or {}).get("route_config_name", "") or routes
                routes = (settings.get("route_config") or {}).get("name", "") or routes
        yield Listener(str(listener.get("name", "")), _address(listener.get("address") or {}), routes)


def _asked_for(section: Json) -> set[str]:
    """The names of route configurations that listeners ask a control plane for."""
    found = set()
    for each in section.get("dynamic_listeners", ()):
        for chain in ((each.get("active_state") or {}).get("listener") or {}).get("filter_chains", ()):
            for entry in chain.get("filters", ()):
                rds = (entry.get("typed_config") or {}).get("rds") or {}
                if "ads" in (rds.get("config_source") or {}):
                    found.add(str(rds.get("route_config_name", "")))
    return found


def _route_lists(section: Json, by_ads: set[str]) -> Iterator[RouteList]:
    for kind, word in (("static_route_configs", "static"), ("dynamic_route_configs", "from a file")):
        for each in section.get(kind, ()):
            config = each.get("route_config") or {}
            source = CONTROL_PLANE if config.get("name", "") in by_ads else word
            routes = [
                _route(route, host.get("domains") or ["*"])
                for host in config.get("virtual_hosts", ())
                for route in host.get("routes", ())
            ]
            yield RouteList(str(config.get("name", "")), source, tuple(routes))


def _route(route: Json, domains: list[str]) -> Route:
    words = [match_in_words(route.get("match") or {})]
    if domains != ["*"]:
        words.append(f"at {', '.join(domains)}")
    action = route.get("route") or {}
    names = [action["cluster"]] if action.get("cluster") else []
    weighted = (action.get("weighted_clusters") or {}).get("clusters", ())
    names += [str(each.get("name", "")) for each in weighted]
    if "direct_response" in route:
        target = f"answered by the proxy itself, {route['direct_response'].get('status', 200)}"
    elif "redirect" in route:
        target = "redirected"
    elif len(weighted) > 1:
        target = ", ".join(f"{each.get('weight', 0)} parts to {each.get('name', '')}" for each in weighted)
    else:
        target = f"to the cluster {', '.join(names)}" if names else "to no cluster"
    if action.get("timeout"):
        target += f", within {action['timeout']}"
    return Route(" and ".join(words), target, tuple(names))


def match_in_words(match: Json) -> str:
    """Which requests a RouteMatch is true of."""
    if match.get("path_separated_prefix"):
        words = [f"{match['path_separated_prefix']} and below"]
    elif match.get("prefix") == "/":
        words = ["any path"]
    elif match.get("prefix"):
        words = [f"{match['prefix']}\u2026"]
    elif match.get("path"):
        words = [f"exactly {match['path']}"]
    elif match.get("safe_regex"):
        words = [f"path ~ {match['safe_regex'].get('regex', '')}"]
    else:
        words = ["a path of another kind"]
    for header in match.get("headers", ()):
        words.append(_header(header))
    return ", ".join(words)


def _header(header: Json) -> str:
    name, how = header.get("name", ""), header.get("string_match") or {}
    for kind, sign in (
        ("exact", "="),
        ("prefix", "begins with"),
        ("contains", "contains"),
        ("suffix", "ends with"),
    ):
        if kind in how:
            return f"{name} {sign} {how[kind]}"
    if "exact_match" in header:
        return f"{name} = {header['exact_match']}"
    if header.get("present_match") or not how:
        return f"{name} is there"
    return f"{name} ~ {(how.get('safe_regex') or {}).get('regex', '?')}"


KINDS = {
    "": "addresses in the static file",
    "STATIC": "addresses in the static file",
    "STRICT_DNS": "names, asked of DNS",
    "LOGICAL_DNS": "a name, asked of DNS",
    "EDS": "from a file",
}


def _clusters(section: Json, statuses: Json) -> Iterator[Cluster]:
    hosts = {each.get("name"): each.get("host_statuses", ()) for each in statuses.get("cluster_statuses", ())}
    found = [*section.get("static_clusters", ()), *section.get("dynamic_active_clusters", ())]
    for each in sorted(found, key=lambda each: str((each.get("cluster") or {}).get("name", ""))):
        cluster = each.get("cluster") or {}
        kind = str(cluster.get("type", ""))
        if "ads" in ((cluster.get("eds_cluster_config") or {}).get("eds_config") or {}):
            kind = CONTROL_PLANE
        endpoints = tuple(_endpoint(host) for host in hosts.get(cluster.get("name"), ()))
        yield Cluster(str(cluster.get("name", "")), KINDS.get(kind, kind), endpoints)


def _endpoint(status: Json) -> Endpoint:
    counters = {each["name"]: int(each.get("value", 0)) for each in status.get("stats", ())}
    return Endpoint(
        _address(status.get("address") or {}),
        str((status.get("health_status") or {}).get("eds_health_status", "")),
        counters.get("rq_total", 0),
        counters.get("cx_connect_fail", 0),
    )


def _address(address: Json) -> str:
    socket = address.get("socket_address") or {}
    return f"{socket.get('address', '?')}:{socket.get('port_value', '?')}"
