"""Gateways, where requests come into the mesh from outside: their records, and which route holds where. Pure.

The rules are the Gateway API's (https://gateway-api.sigs.k8s.io/reference/spec/, Gateway, HTTPRoute, ReferenceGrant).
The proxies of a Gateway are Pods that edge/workload.py describes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from labsupport.mesh import api, names
from labsupport.mesh.api import Name, Object, Parent, Reference, Route, Workload

if TYPE_CHECKING:
    from labsupport.mesh.model import Model

GROUP = "gateway.networking.k8s.io"
ANY = "*"  # every host
UNPRIVILEGED, SHIFT = 1024, 10_000  # ports below the first are answered this much higher in the Pod
KINDS = ("HTTPRoute", "GRPCRoute")  # of routes that can be attached
HTTP, HTTPS = PROTOCOLS = ("HTTP", "HTTPS")
OWN_PORTS = range(names.ADMIN, names.ADMIN + 100)  # in a Pod with a proxy


@dataclass(frozen=True)
class Listener:
    """One of a Gateway's listeners."""

    name: str
    port: int
    protocol: str
    hostname: str  # "" for every host
    spaces: str  # from which namespaces routes may come: Same, All, Selector, None
    selector: Object = field(default_factory=dict)
    kinds: tuple[tuple[str, str], ...] = ()  # groups and kinds of routes; none: what the protocol has
    certificates: tuple[
        tuple[str, str, Name], ...
    ] = ()  # groups, kinds and names of what HTTPS is served with

    @property
    def target(self) -> int:
        """The port in the Pod: a process without rights may not have one below 1024."""
        return self.port if self.port >= UNPRIVILEGED else self.port + SHIFT


@dataclass(frozen=True)
class Gateway:
    """A Gateway; whether it is this mesh's is said by its class."""

    name: Name
    class_: str
    generation: int
    listeners: tuple[Listener, ...]
    fault: str = ""  # what it asks for that is not there

    @property
    def reference(self) -> Reference:
        """Which object it is."""
        return Reference("Gateway", *self.name)


class Grant(NamedTuple):
    """A ReferenceGrant: which routes of other namespaces may send to which Services of its own."""

    origins: frozenset[tuple[str, str]]  # kind of route, namespace
    services: frozenset[str]  # names; "" for all


def gateway(found: Object) -> Gateway:
    """A Gateway's record."""
    spec = found["spec"]
    fault = "addresses cannot be asked for: its Service has its own" if spec.get("addresses") else ""
    if (spec.get("infrastructure") or {}).get("parametersRef"):
        fault = "there are no parameters of infrastructure"
    name = api.name_of(found)
    listeners = tuple(_listener(each, name.namespace) for each in spec.get("listeners") or ())
    generation = found["metadata"].get("generation", 0)
    return Gateway(name, spec["gatewayClassName"], generation, listeners, fault)


def _listener(found: Object, namespace: str) -> Listener:
    allowed = found.get("allowedRoutes") or {}
    spaces = allowed.get("namespaces") or {}
    kinds = tuple((each.get("group", GROUP), each["kind"]) for each in allowed.get("kinds") or ())
    return Listener(
        found["name"],
        found["port"],
        found["protocol"],
        found.get("hostname", ""),
        spaces.get("from", "Same"),
        spaces.get("selector") or {},
        kinds,
        tuple(
            (
                each.get("group", ""),
                each.get("kind", "Secret"),
                Name(each.get("namespace", namespace), each["name"]),
            )
            for each in (found.get("tls") or {}).get("certificateRefs") or ()
        ),
    )


def grant(found: Object) -> Grant:
    """A ReferenceGrant's record: what of it concerns routes and Services."""
    spec = found["spec"]
    origins = frozenset((each["kind"], each["namespace"]) for each in spec["from"] if each["group"] == GROUP)
    to = (each for each in spec["to"] if (each.get("group", ""), each["kind"]) == ("", "Service"))
    return Grant(origins, frozenset(each.get("name", "") for each in to))


def is_ours(model: Model, found: Gateway) -> bool:
    """Whether a Gateway is to be served by this mesh."""
    return found.class_ in model.classes


def of_workload(workload: Workload) -> Name | None:
    """The Gateway that a Pod is a proxy of; None for sidecars."""
    if workload.capture != names.GATEWAY_PROXY:
        return None
    return Name(workload.name.namespace, workload.labels.get(names.GATEWAY_LABEL, ""))


def service_of(gateway: Name) -> Name:
    """The Service of a Gateway; its Deployment and its ServiceAccount have the same name (GEP-1762)."""
    return Name(gateway.namespace, f"{gateway.name}-{names.GATEWAY_CLASS}")


def parents(route: Route) -> list[Name]:
    """The Gateways that a route names as parents."""
    return [parent.name for parent in route.parents if is_gateway(parent)]


def is_gateway(parent: Parent) -> bool:
    """Whether a parentRef is to a Gateway."""
    return (parent.group, parent.kind) == (GROUP, "Gateway")


class Fault(NamedTuple):
    """Why a listener or a route does not hold: the reason of a condition, and its message."""

    reason: str
    message: str


def fault(gateway: Gateway, listener: Listener) -> Fault | None:
    """What keeps a listener from being served. Of two that cannot both be, the first one is."""
    if listener.protocol not in PROTOCOLS:
        return Fault("UnsupportedProtocol", f"protocol {listener.protocol}: there are only HTTP and HTTPS")
    if listener.target in OWN_PORTS:
        return Fault("PortUnavailable", f"port {listener.port} is the proxy's own")
    for other in gateway.listeners:
        if other.name == listener.name:
            return None
        if other.protocol not in PROTOCOLS:
            continue
        if other.port == listener.port and other.protocol != listener.protocol:
            return Fault(
                "ProtocolConflict", f"listener {other.name} speaks {other.protocol} at the same port"
            )
        if other.target == listener.target and other.port != listener.port:
            return Fault("PortUnavailable", f"in the Pod it would be the port of listener {other.name}")
        if (other.port, other.hostname) == (listener.port, listener.hostname):
            return Fault("HostnameConflict", f"listener {other.name} has the same port and hostname")
    return None


def served(gateway: Gateway) -> list[Listener]:
    """The listeners that hold."""
    return [] if gateway.fault else [each for each in gateway.listeners if fault(gateway, each) is None]


def unresolved(model: Model, gateway: Gateway, listener: Listener) -> Fault | None:
    """What keeps a listener from its certificates: a reason of the condition ResolvedRefs."""
    if listener.protocol != HTTPS:
        return None
    if not listener.certificates:
        return Fault("InvalidCertificateRef", "no certificateRefs: there is nothing to serve TLS with")
    for group, kind, name in listener.certificates:
        if (group, kind) != ("", "Secret"):
            return Fault("InvalidCertificateRef", f"{kind} {name}: certificates are in Secrets")
        if name.namespace != gateway.name.namespace:
            return Fault("RefNotPermitted", f"Secret {name} is not of the Gateway's own namespace")
        held = model.certificates.get(name)
        if held is None or held.fault:
            text = held.fault if held else f"Secret {name} has not been looked at yet"
            return Fault("InvalidCertificateRef", text)
    return None


def secrets(gateway: Gateway) -> list[Name]:
    """The Secrets that a Gateway's listeners name and may have."""
    named = {each for listener in gateway.listeners for each in listener.certificates}
    own = gateway.name.namespace
    return sorted(name for group, kind, name in named if (group, kind, name.namespace) == ("", "Secret", own))


def attach(model: Model, gateway: Gateway, route: Route, parent: Parent) -> dict[str, list[str]] | Fault:
    """The listeners that a route is attached to by one of its parentRefs, and for which hosts at each; or why not."""
    asked = [
        each
        for each in served(gateway)
        if parent.port in (None, each.port) and parent.section in (None, each.name)
    ]
    if not asked:
        return Fault("NoMatchingParent", f"Gateway {gateway.name} has no such listener that holds")
    allowed = [each for each in asked if _allows(model, gateway, each, route)]
    if not allowed:
        text = f"no listener of {gateway.name} takes a {route.kind} from namespace {route.name.namespace}"
        return Fault("NotAllowedByListeners", text)
    found = {each.name: common(each.hostname, route.hostnames) for each in allowed}
    if not any(found.values()):
        text = f"none of its hostnames is one that {gateway.name} listens for"
        return Fault("NoMatchingListenerHostname", text)
    return {name: hosts for name, hosts in found.items() if hosts}


def attached(model: Model, gateway: Gateway) -> dict[str, dict[Reference, list[str]]]:
    """By the name of each listener that holds: its routes, and the hosts that each is for."""
    found: dict[str, dict[Reference, list[str]]] = {each.name: {} for each in served(gateway)}
    for reference in sorted(model.routes_at[gateway.name]):
        route = model.routes[reference]
        for parent in route.parents:
            if is_gateway(parent) and parent.name == gateway.name:
                held = attach(model, gateway, route, parent)
                for name, hosts in {}.items() if isinstance(held, Fault) else held.items():
                    at = found[name].setdefault(reference, [])
                    at += [each for each in hosts if each not in at]
    return found


def _allows(model: Model, gateway: Gateway, listener: Listener, route: Route) -> bool:
    if route.kind not in KINDS or (listener.kinds and (GROUP, route.kind) not in listener.kinds):
        return False
    if listener.spaces == "Selector":
        return selects(listener.selector, model.namespaces.get(route.name.namespace, {}))
    return listener.spaces == "All" or (
        listener.spaces == "Same" and route.name.namespace == gateway.name.namespace
    )


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (meta/v1) means these labels."""
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    for each in selector.get("matchExpressions") or ():
        value, values = labels.get(each["key"]), each.get("values") or ()
        held = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held[each["operator"]]:
            return False
    return True


def covers(pattern: str, host: str) -> bool:
    """Whether a hostname means another one, which may be a pattern too: `*.example` is each name below, not itself."""
    return pattern in (ANY, "", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def common(listener: str, hostnames: tuple[str, ...]) -> list[str]:
    """The hosts that both a listener and a route are for."""
    if not hostnames:
        return [listener or ANY]
    met = (
        (each if covers(listener, each) else listener if covers(each, listener) else "") for each in hostnames
    )
    return [each for each in met if each]


def specificity(host: str) -> tuple[bool, int]:
    """A sort key: a name before patterns, the longer pattern before the shorter one."""
    return (not host.startswith(ANY), 0 if host == ANY else len(host))


def permitted(model: Model, route: Route, backend: api.Backend) -> bool:
    """Whether a route at a Gateway may send to a Service: of its own namespace, or one that a ReferenceGrant opens.

    Unlike a mesh route, which a client could do without, it makes a Service reachable for others.
    """
    if backend.name.namespace == route.name.namespace:
        return True
    return any(
        (route.kind, route.name.namespace) in each.origins and each.services & {"", backend.name.name}
        for name, each in model.grants.items()
        if name.namespace == backend.name.namespace
    )
