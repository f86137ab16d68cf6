"""Where a request goes: by a snapshot, as an Envoy would read it, and by the objects that it was made of.

Pure, so that a check compares the two on objects that nobody has seen. The rules are those of the Gateway API
(https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule) and of Envoy's route matching, as far as lab M4 has
them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Object = dict[str, Any]
State = Mapping[str, Mapping[str, Any]]  # type in words -> name -> resource
Target = tuple[str, int] | int  # an address with its port, or a status that the proxy gives
Shares = dict[Target, Fraction]

PORT = 10000
NOT_FOUND, UNAVAILABLE, BROKEN = 404, 503, 500
# In the order in which they are asked, as the mesh has it (labsupport/mesh/translate/matches.py).
KINDS = ("Exact", "PathPrefix", "RegularExpression", "everything")


@dataclass(frozen=True)
class Asked:
    """A request."""

    host: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The text form."""
        extra = "".join(f", {name}: {value}" for name, value in self.headers.items())
        return f"GET {self.path} of {self.host}{extra}"


# --- by a snapshot


class Refused(ValueError):
    """Envoy would not take it, or would never get ready with it. `finding` names the kind of trouble."""

    def __init__(self, finding: str, text: str) -> None:
        super().__init__(text)
        self.finding = finding


def routes_of(state: State) -> Object:
    """The route configuration that the listener on PORT asks for. Refused if there is none."""
    for listener in state["listeners"].values():
        socket = (listener.get("address") or {}).get("socket_address") or {}
        if socket.get("port_value") != PORT:
            continue
        for chain in listener.get("filter_chains") or ():
            for each in chain.get("filters") or ():
                settings = each.get("typed_config") or {}
                if "route_config" in settings:
                    found: Object = settings["route_config"]
                    return found
                name = (settings.get("rds") or {}).get("route_config_name", "")
                if name in state["routes"]:
                    named: Object = state["routes"][name]
                    return named
                if name:
                    raise Refused(
                        "no-routes",
                        f"the listener asks for the routes {name}, and there are "
                        f"{', '.join(sorted(state['routes'])) or 'none'}",
                    )
    raise Refused("no-listener", f"no listener takes HTTP on port {PORT}")


def examine(state: State) -> None:
    """Refused where Envoy would refuse a resource, or wait for one that never comes."""
    for name, cluster in state["clusters"].items():
        if cluster.get("type") == "EDS":
            wanted = (cluster.get("eds_cluster_config") or {}).get("service_name") or name
            if wanted not in state["endpoints"]:
                raise Refused(
                    "warming", f"the cluster {name} waits for endpoints, and no assignment {wanted} is there"
                )
    hosts: dict[str, str] = {}
    for host in routes_of(state).get("virtual_hosts") or ():
        for domain in host.get("domains") or ():
            if domain in hosts:
                raise Refused("refused", f"the domain {domain} is in two virtual hosts, which Envoy refuses")
            hosts[domain] = host.get("name", "")
        for route in host.get("routes") or ():
            _examine_route(route)


def _examine_route(route: Object) -> None:
    match = route.get("match") or {}
    prefix = match.get("path_separated_prefix")
    if prefix is not None and not re.fullmatch(r"/[^?#]*[^?#/]", prefix):
        raise Refused("refused", f"Envoy refuses path_separated_prefix {prefix!r}")
    if not any(key in match for key in ("path", "prefix", "safe_regex", "path_separated_prefix")):
        raise Refused("refused", "a route's match has no condition on the path, which Envoy refuses")
    weighted = (route.get("route") or {}).get("weighted_clusters")
    if weighted is not None and sum(each.get("weight", 0) for each in weighted.get("clusters") or ()) == 0:
        raise Refused("refused", "weighted clusters whose weights are 0 in all, which Envoy refuses")


def by_snapshot(state: State, asked: Asked) -> Shares:
    """Who gets which share of such requests. Refused as above."""
    host = _virtual_host(routes_of(state), asked.host)
    for route in (host or {}).get("routes") or ():
        if _matches(route.get("match") or {}, asked):
            return _shares(state, route)
    return {NOT_FOUND: Fraction(1)}


def _virtual_host(routes: Object, host: str) -> Object | None:
    hosts = list(routes.get("virtual_hosts") or ())
    for wanted in (host, "*"):
        for each in hosts:
            if wanted in (each.get("domains") or ()):
                return each  # type: ignore[no-any-return]
    return None


def _matches(match: Object, asked: Asked) -> bool:
    path = asked.path
    prefix = match.get("path_separated_prefix")
    if prefix is not None:
        if path != prefix and not path.startswith(f"{prefix}/"):
            return False
    elif "safe_regex" in match:
        if not re.fullmatch(match["safe_regex"].get("regex", ""), path):
            return False
    elif "path" in match:
        if path != match["path"]:
            return False
    elif not path.startswith(match.get("prefix", "/")):
        return False
    given = {name.lower(): value for name, value in asked.headers.items()}
    return all(_header(each, given) for each in match.get("headers") or ())


def _header(each: Object, given: Mapping[str, str]) -> bool:
    value = given.get(str(each.get("name", "")).lower())
    how = each.get("string_match") or {}
    if "exact" in how or "exact_match" in each:
        return value == how.get("exact", each.get("exact_match"))
    return value is not None


def _shares(state: State, route: Object) -> Shares:
    if "direct_response" in route:
        return {int(route["direct_response"].get("status", 0)): Fraction(1)}
    action = route.get("route") or {}
    parts = (action.get("weighted_clusters") or {}).get("clusters") or [
        {"name": action.get("cluster", ""), "weight": 1}
    ]
    weights = [(str(each.get("name", "")), int(each.get("weight", 0))) for each in parts]
    return _spread((weight, _addresses(state, name)) for name, weight in weights)


def _addresses(state: State, cluster: str) -> list[tuple[str, int]]:
    found = state["clusters"].get(cluster)
    if found is None:
        return []
    name = (found.get("eds_cluster_config") or {}).get("service_name") or cluster
    assignment = found.get("load_assignment") or state["endpoints"].get(name) or {}
    sockets = [
        ((each.get("endpoint") or {}).get("address") or {}).get("socket_address") or {}
        for locality in assignment.get("endpoints") or ()
        for each in locality.get("lb_endpoints") or ()
    ]
    return [(str(each.get("address")), int(each.get("port_value", 0))) for each in sockets]


def _spread(parts: Iterator[tuple[int, list[tuple[str, int]]]]) -> Shares:
    given = [each for each in parts if each[0] > 0]
    total = sum(weight for weight, _ in given) or 1
    shares: Shares = {}
    for weight, addresses in given:
        targets: Sequence[Target] = addresses or [UNAVAILABLE]
        for each in targets:
            shares[each] = shares.get(each, Fraction(0)) + Fraction(weight, total * len(targets))
    return shares


# --- by the objects


@dataclass(frozen=True)
class Objects:
    """What the learner's function is given."""

    services: list[Object]
    slices: list[Object]
    routes: list[Object]

    def shuffled(self, seed: int) -> Objects:
        """The same objects in another order."""
        chosen = random.Random(seed)
        return Objects(
            *(chosen.sample(each, len(each)) for each in (self.services, self.slices, self.routes))
        )


def by_objects(objects: Objects, asked: Asked) -> Shares:
    """Who should get which share of such requests."""
    name, _, number = asked.host.partition(":")
    port = _port(objects, name, int(number or 80))
    if port is None:
        return {NOT_FOUND: Fraction(1)}
    attached = [
        route
        for route in objects.routes
        if any(ref.get("kind") == "Service" and ref["name"] == name for ref in route["spec"]["parentRefs"])
    ]
    if not attached:
        return _spread(iter([(1, endpoints(objects, name, port))]))
    found = []
    for route in attached:
        for position, rule in enumerate(route["spec"].get("rules") or ()):
            for match in rule.get("matches") or [{}]:
                if _rule_matches(match, asked):
                    found.append((_order(match), route["metadata"]["name"], position, rule))
    if not found:
        return {NOT_FOUND: Fraction(1)}
    rule = min(found, key=lambda each: each[:3])[3]
    parts = []
    for backend in rule.get("backendRefs") or ():
        to = _port(objects, backend["name"], backend.get("port", 0))
        if to is not None and backend.get("weight", 1) > 0:
            parts.append((backend.get("weight", 1), endpoints(objects, backend["name"], to)))
    return _spread(iter(parts)) if parts else {BROKEN: Fraction(1)}


def _port(objects: Objects, service: str, number: int) -> Object | None:
    for each in objects.services:
        if each["metadata"]["name"] == service:
            for port in each["spec"].get("ports") or ():
                if port["port"] == number:
                    return port  # type: ignore[no-any-return]
    return None


def endpoints(objects: Objects, service: str, port: Object) -> list[tuple[str, int]]:
    """Who may be asked at a port of a Service: each once."""
    found = {
        (endpoint["addresses"][0], number["port"])
        for each in objects.slices
        if each["metadata"]["labels"].get("kubernetes.io/service-name") == service
        for number in each.get("ports") or ()
        if (number.get("name") or "") == (port.get("name") or "")
        for endpoint in each.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready") is not False
    }
    return sorted(found)


def _rule_matches(match: Object, asked: Asked) -> bool:
    path = match.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    if kind == "Exact":
        right = asked.path == value
    elif kind == "RegularExpression":
        right = bool(re.fullmatch(value, asked.path))
    else:
        bare = value.rstrip("/")
        right = asked.path == bare or asked.path.startswith(f"{bare}/")
    given = {name.lower(): each for name, each in asked.headers.items()}
    return right and all(
        given.get(each["name"].lower()) == each["value"] for each in match.get("headers") or ()
    )


def _order(match: Object) -> tuple[int, int, int]:
    path = match.get("path") or {}
    kind, value = path.get("type", "PathPrefix"), path.get("value", "/")
    if kind == "PathPrefix":
        value = value.rstrip("/")
    return KINDS.index(kind if value else "everything"), -len(value), -len(match.get("headers") or ())


# --- objects that nobody has seen


def service(name: str, *ports: tuple[str, int]) -> Object:
    """A Service with ports (name, number)."""
    listed = [
        {**({"name": word} if word else {}), "port": number, "protocol": "TCP"} for word, number in ports
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": f"10.96.7.{1 + sum(name.encode()) % 250}", "ports": listed},
    }


def endpoint_slice(
    name: str, ports: Sequence[tuple[str, int]], *endpoints: tuple[str, bool | None], number: int = 0
) -> Object:
    """An EndpointSlice of the Service `name`, with endpoints (address, ready)."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-{number}",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": word, "port": to, "protocol": "TCP"} for word, to in ports],
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": ready, "serving": ready, "terminating": False}}
            for address, ready in endpoints
        ],
    }


def rule(*backends: tuple[str, int | None], **matches: Any) -> Object:
    """A rule to backends (Service, weight), all on port 80. `paths`: (type, value) of which each is a match; `headers`
    belong to every match.
    """
    headers = [
        {"type": "Exact", "name": name, "value": value} for name, value in matches.get("headers", {}).items()
    ]
    found: Object = {
        "backendRefs": [
            {"name": name, "port": 80, **({"weight": weight} if weight is not None else {})}
            for name, weight in backends
        ]
    }
    paths = [{"path": {"type": kind, "value": value}} for kind, value in matches.get("paths", ())]
    if paths or headers:
        extra = {"headers": headers} if headers else {}
        found["matches"] = [
            {**each, **extra} for each in paths or [{"path": {"type": "PathPrefix", "value": "/"}}]
        ]
    return found


def route(name: str, parent: str, *rules: Object, kind: str = "Service") -> Object:
    """An HTTPRoute of a Service."""
    group = "" if kind == "Service" else "gateway.networking.k8s.io"
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"parentRefs": [{"group": group, "kind": kind, "name": parent}], "rules": list(rules)},
    }


def world(names: Sequence[str]) -> tuple[list[Object], list[Object]]:
    """Services of these names on port 80, each with two endpoints on port 8080."""
    services = [service(name, ("http", 80)) for name in names]
    slices = [
        endpoint_slice(name, [("http", 8080)], (f"10.8.{at}.1", True), (f"10.8.{at}.2", True))
        for at, name in enumerate(names)
    ]
    return services, slices


def in_words(shares: Shares) -> str:
    """An answer for a message: who gets what."""
    parts = []
    for target, share in sorted(shares.items(), key=lambda each: (-each[1], str(each[0]))):
        who = f"status {target} from the proxy" if isinstance(target, int) else f"{target[0]}:{target[1]}"
        parts.append(who if share == 1 else f"{who} ({float(share) * 100:.0f} %)")
    shown = parts[:4] + (["..."] if len(parts) > 4 else [])
    return ", ".join(shown) or "nobody"
