"""The routes of a Service's port: HTTPRoutes and GRPCRoutes in Envoy's order and words. Gateways use them (gateway.py).

A route of the Service's own namespace (a producer route) holds for all clients. One of another namespace (a consumer
route, GEP-1426) holds for the clients of that namespace, instead of the producer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from labsupport.mesh import api
from labsupport.mesh.api import Name, Parent, Port, Reference, Route
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy, filters, matches, traffic
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.resource import EVERYONE, Key, Resource, of_namespace
from labsupport.mesh.translate.services import cluster_name, speaks_http

# What the Gateway API asks for where a rule's backends cannot be used: an error, and no request that goes astray.
# (To gRPC, 503 is the status UNAVAILABLE.) The second is what Envoy calls it for a share of requests.
_ERRORS = {"HTTPRoute": (500, "INTERNAL_SERVER_ERROR"), "GRPCRoute": (503, "SERVICE_UNAVAILABLE")}


def translate(model: Model, name: Name) -> list[Resource]:
    """The route configurations of a Service, for everyone and for each namespace with routes of its own."""
    service = model.services.get(name)
    if service is None:
        return []
    found = []
    for port in service.ports:
        if not speaks_http(port):
            continue
        attached = attached_routes(model, name, port)
        consumers = sorted({route.name.namespace for route in attached} - {name.namespace})
        for namespace in [name.namespace, *consumers]:
            mine = of(attached, namespace)
            scope = EVERYONE if namespace == name.namespace else of_namespace(namespace)
            key = Key(envoy.ROUTES, scope, cluster_name(name, port.number))
            sources = tuple(route.reference for route in mine) or (Reference("Service", *name),)
            if policy := model.traffic_policy(name, port.number):
                sources += (policy.reference,)
            found.append(Resource(key, configuration(model, name, port, mine), sources))
    return found


def of(attached: list[Route], namespace: str) -> list[Route]:
    """Those of a namespace. Where there are both kinds, GRPCRoutes alone hold (GEP-1426)."""
    found = [route for route in attached if route.name.namespace == namespace]
    return [route for route in found if route.kind == "GRPCRoute"] or found


def attached_routes(model: Model, name: Name, port: Port) -> list[Route]:
    """The routes whose parent is this port, or the Service as a whole.

    A Service without an address of its own has nothing to attach to: clients call its Pods (GEP-1426).
    """
    if not model.services[name].addresses:
        return []
    routes = (model.routes[reference] for reference in sorted(model.routes_of[name]))
    return [
        route
        for route in routes
        if any(each.is_service and each.name == name and selects(each, port) for each in route.parents)
    ]


def selects(parent: Parent, port: Port) -> bool:
    """Whether a parentRef means this port of its Service: by number, by name (sectionName), or as one of all."""
    return parent.port in (None, port.number) and parent.section in (None, port.name)


def unsupported(rule: api.Object) -> set[str]:
    """The kinds of filters in a rule that are not known here, or not at a backend."""
    own = {each["type"] for each in rule.get("filters") or ()}
    at_backends = {each["type"] for ref in rule.get("backendRefs") or () for each in ref.get("filters") or ()}
    unknown = at_backends - filters.SUPPORTED_AT_BACKENDS
    return (own - filters.SUPPORTED) | {f"{each} of a backend" for each in unknown}


@dataclass(frozen=True)
class Place:
    """Where routes hold: the port that clients call there, and which backends may be sent to from there."""

    port: int
    permits: Callable[[Route, api.Backend], bool] = lambda route, backend: True


def configuration(model: Model, name: Name, port: Port, routes: list[Route]) -> Json:
    """The route configuration of a port with these routes; without any, everything goes to the Service itself."""
    label, policy = cluster_name(name, port.number), model.traffic_policy(name, port.number)
    if routes:
        made = entries(model, routes, Place(port.number))
        bodies = [each.body for each in sorted(made, key=lambda each: each.order)]
    else:
        bodies = [{"match": {"prefix": "/"}, "route": _action({"cluster": label})}]
    bodies = [made for each in bodies for made in traffic.routes(each, policy)]
    host = {"name": label, "domains": ["*"], "routes": bodies, **traffic.host(policy)}
    return {"name": label, "virtual_hosts": [host]}


@dataclass(frozen=True)
class Entry:
    """One of Envoy's routes, and its place among others."""

    order: tuple[Any, ...]
    body: Json


def entries(model: Model, routes: Iterable[Route], place: Place) -> Iterator[Entry]:
    """Envoy's routes for these, at a Service or at a Gateway."""
    for route in routes:
        for index, rule in enumerate(route.rules):
            for position, match in enumerate(rule.get("matches") or [{}]):
                if matches.fault(match):
                    continue  # nothing can be found by it; the route's status says so
                read = matches.read(route.kind, match)
                # Of equals the older route wins, then the name in the alphabet, then the order in the file.
                # Where both kinds are, at a Gateway, what is for gRPC alone comes first.
                order = (route.kind, *read.order, route.created, route.name, index, position)
                body = {
                    "name": _label(route, index, rule),
                    "match": read.envoy,
                    **_rule(model, route, rule, read, place),
                }
                yield Entry(order, body)


def faults(route: Route) -> list[str]:
    """What of a route cannot be honoured."""
    unknown = sorted({kind for rule in route.rules for kind in unsupported(rule)})
    found = [f"the filter {kind} is not known here: rules with it answer 500" for kind in unknown]
    said = (matches.fault(match) for rule in route.rules for match in rule.get("matches") or ())
    return [*found, *(f"nothing matches {each}" for each in said if each)]


def _label(route: Route, index: int, rule: api.Object) -> str:
    return f"{route.kind}/{route.name}/{rule.get('name') or index}"


def _rule(model: Model, route: Route, rule: api.Object, match: matches.Match, place: Place) -> Json:
    """What a rule does with a request: send it on, redirect it, or answer that it cannot."""
    status, said = _ERRORS[route.kind]
    unavailable = {"direct_response": {"status": status}}
    if unsupported(rule):
        return unavailable  # a filter that is not applied might be what protects the backend
    changes = filters.headers(rule.get("filters") or ())
    if redirect := filters.redirect(rule.get("filters") or (), match.prefix, place.port):
        return {"redirect": redirect, **changes}

    def cluster(ref: api.Object) -> str | None:
        backend = api.backend(ref, route.name.namespace)
        return usable(model, backend) if place.permits(route, backend) else None

    weighted = [
        (each, each.get("weight", 1)) for each in rule.get("backendRefs") or () if each.get("weight", 1) > 0
    ]
    if not weighted:
        return unavailable | changes
    clusters = []
    for ref, weight in weighted:
        target = cluster(ref)
        # A share of requests whose backend cannot be used must fail, not go to the others: an undefined cluster.
        name = target or "unavailable"
        own = ref.get("filters") or ()
        clusters.append({"name": name, "weight": weight, **filters.headers(own), **filters.host(own)})
    if not any(cluster(ref) for ref, _ in weighted):
        return unavailable | changes
    action: Json = {
        "weighted_clusters": {"clusters": clusters},
        "cluster_not_found_response_code": said,
        **filters.host(rule.get("filters") or ()),
        **filters.rewrite(rule.get("filters") or (), match.prefix),
        **_timeouts(rule.get("timeouts") or {}),
    }
    mirrors = [
        filters.mirror(each, copy)
        for each in rule.get("filters") or ()
        if each["type"] == "RequestMirror" and (copy := cluster(each["requestMirror"]["backendRef"]))
    ]
    if mirrors:
        action["request_mirror_policies"] = mirrors
    return {"route": _action(action), **changes}


def usable(model: Model, backend: api.Backend) -> str | None:
    """The cluster of a backend, or None where there is no such Service, or no such port of HTTP."""
    if (backend.group, backend.kind) != ("", "Service") or backend.port is None:
        return None
    service = model.services.get(backend.name)
    port = service.port(backend.port) if service else None
    if port is None or not speaks_http(port):
        return None
    return cluster_name(backend.name, port.number)


def _action(action: Json) -> Json:
    # Envoy's own limit of 15 s would surprise: without a mesh there is none.
    return {"timeout": "0s", "retry_policy": envoy.RETRY, **action}


def _timeouts(timeouts: api.Object) -> Json:
    """GEP-1742: `request` for the whole, `backendRequest` for each try. "0s" is no limit."""
    found: Json = {}
    request, each = (filters.seconds(timeouts.get(name, "0s")) for name in ("request", "backendRequest"))
    if request:
        found["timeout"] = f"{request}s"
    if each:
        found["retry_policy"] = envoy.RETRY | {"per_try_timeout": f"{each}s"}
    return found
