"""The mesh as the control plane knows it: one immutable value. A change makes a new one; the old one stays as it was.

Beside the objects it holds the joins that translation needs, kept up with each change, so that one change costs as
little in a large mesh as in a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from labsupport.mesh import api, gateways
from labsupport.mesh.api import (
    Name,
    PeerAuthentication,
    Reference,
    Route,
    Service,
    Settings,
    Slice,
    Workload,
)
from labsupport.mesh.authorization import AuthorizationPolicy
from labsupport.mesh.certificates import Certificate
from labsupport.mesh.egress import EgressPolicy
from labsupport.mesh.gateways import Gateway, Grant
from labsupport.mesh.traffic import TrafficPolicy, holding

Key = TypeVar("Key", bound=Hashable)
Of = TypeVar("Of", bound=Hashable)


@dataclass(frozen=True)
class Index(Mapping[Any, frozenset[Any]]):
    """Which objects belong to what: a Service's slices, a backend's routes. What has none is an empty set."""

    entries: Mapping[Any, frozenset[Any]] = field(default_factory=dict)

    def __getitem__(self, of: Any) -> frozenset[Any]:
        return self.entries.get(of, frozenset())

    def __iter__(self) -> Any:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def moved(self, key: Hashable, before: Iterable[Any], now: Iterable[Any]) -> Index:
        """The index once the object `key` no longer belongs to `before` but to `now`."""
        left, joined = set(before) - set(now), set(now) - set(before)
        if not left and not joined:
            return self
        entries = dict(self.entries)
        for of in left:
            if remaining := entries[of] - {key}:
                entries[of] = remaining
            else:
                del entries[of]
        for of in joined:
            entries[of] = entries.get(of, frozenset()) | {key}
        return Index(entries)


@dataclass(frozen=True)
class Model:
    """Everything that a proxy's configuration is made of."""

    services: Mapping[Name, Service] = field(default_factory=dict)
    slices: Mapping[Name, Slice] = field(default_factory=dict)
    workloads: Mapping[Name, Workload] = field(default_factory=dict)
    routes: Mapping[Reference, Route] = field(default_factory=dict)
    authentications: Mapping[Name, PeerAuthentication] = field(default_factory=dict)
    traffic: Mapping[Name, TrafficPolicy] = field(default_factory=dict)
    policies: Mapping[Name, AuthorizationPolicy] = field(default_factory=dict)
    gateways: Mapping[Name, Gateway] = field(default_factory=dict)
    classes: frozenset[str] = frozenset()  # GatewayClasses of this mesh
    grants: Mapping[Name, Grant] = field(default_factory=dict)
    certificates: Mapping[Name, Certificate] = field(default_factory=dict)  # of Gateways' listeners
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # their labels
    egress: Mapping[Name, EgressPolicy] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    roots: str = ""  # PEM: what peers' certificates are checked against

    services_in: Index = Index()  # namespace -> Services
    slices_of: Index = Index()  # Service -> slices
    services_of: Index = Index()  # Pod -> Services that it is behind
    routes_of: Index = Index()  # Service -> routes that have it as a parent
    routes_at: Index = Index()  # Gateway -> routes that have it as a parent
    users_of: Index = Index()  # Service -> routes that send to it
    authentications_of: Index = Index()  # namespace -> PeerAuthentications
    traffic_of: Index = Index()  # Service -> TrafficPolicies that target it
    policies_of: Index = Index()  # namespace -> AuthorizationPolicies
    explicit: Index = Index()  # namespace -> Pods with a proxy that are not captured

    # Each returns the model with the object as it is now; None means that it is gone. It is this same model if nothing
    # is different: watches tell of much that does not matter here, such as the heartbeats of Pods.

    def with_service(self, name: Name, now: Service | None) -> Model:
        """With a Service."""
        before, place = self.services.get(name), [name.namespace]
        if before == now:
            return self
        index = self.services_in.moved(name, place if before else [], place if now else [])
        return replace(self, services=_with(self.services, name, now), services_in=index)

    def with_slice(self, name: Name, now: Slice | None) -> Model:
        """With an EndpointSlice."""
        before = self.slices.get(name)
        if before == now:
            return self
        slices = _with(self.slices, name, now)
        slices_of = self.slices_of.moved(
            name, _each(before, lambda s: [s.service]), _each(now, lambda s: [s.service])
        )
        services_of = self.services_of
        for service in {*_each(before, lambda s: [s.service]), *_each(now, lambda s: [s.service])}:
            # A Pod may be in several slices of one Service while they are being filled anew.
            then = {pod for each in self.slices_of[service] for pod in _pods(self.slices[each])}
            new = {pod for each in slices_of[service] for pod in _pods(slices[each])}
            for pod in then ^ new:
                services_of = services_of.moved(
                    service, [pod] if pod in then else [], [pod] if pod in new else []
                )
        return replace(self, slices=slices, slices_of=slices_of, services_of=services_of)

    def with_workload(self, name: Name, now: Workload | None) -> Model:
        """With a Pod that has a proxy."""
        before = self.workloads.get(name)
        if before == now:
            return self
        spaces = [[name.namespace] if each and each.capture == "env" else [] for each in (before, now)]
        explicit = self.explicit.moved(name, *spaces)
        return replace(self, workloads=_with(self.workloads, name, now), explicit=explicit)

    def with_route(self, reference: Reference, now: Route | None) -> Model:
        """With a route."""
        before = self.routes.get(reference)
        if before == now:
            return self
        return replace(
            self,
            routes=_with(self.routes, reference, now),
            routes_of=self.routes_of.moved(reference, _each(before, parents), _each(now, parents)),
            routes_at=self.routes_at.moved(
                reference, _each(before, gateways.parents), _each(now, gateways.parents)
            ),
            users_of=self.users_of.moved(reference, _each(before, targets), _each(now, targets)),
        )

    def with_authentication(self, name: Name, now: PeerAuthentication | None) -> Model:
        """With a PeerAuthentication."""
        before, place = self.authentications.get(name), [name.namespace]
        if before == now:
            return self
        index = self.authentications_of.moved(name, place if before else [], place if now else [])
        held = _with(self.authentications, name, now)
        return replace(self, authentications=held, authentications_of=index)

    def with_traffic(self, name: Name, now: TrafficPolicy | None) -> Model:
        """With a TrafficPolicy."""
        before = self.traffic.get(name)
        if before == now:
            return self
        index = self.traffic_of.moved(
            name, _each(before, TrafficPolicy.services), _each(now, TrafficPolicy.services)
        )
        return replace(self, traffic=_with(self.traffic, name, now), traffic_of=index)

    def with_policy(self, name: Name, now: AuthorizationPolicy | None) -> Model:
        """With an AuthorizationPolicy."""
        before, place = self.policies.get(name), [name.namespace]
        if before == now:
            return self
        index = self.policies_of.moved(name, place if before else [], place if now else [])
        return replace(self, policies=_with(self.policies, name, now), policies_of=index)

    def with_gateway(self, name: Name, now: Gateway | None) -> Model:
        """With a Gateway."""
        return self._with("gateways", name, now)

    def with_class(self, name: str, now: bool) -> Model:
        """With a GatewayClass that is this mesh's, or is not."""
        classes = self.classes | {name} if now else self.classes - {name}
        return self if classes == self.classes else replace(self, classes=classes)

    def with_grant(self, name: Name, now: Grant | None) -> Model:
        """With a ReferenceGrant."""
        return self._with("grants", name, now)

    def with_certificate(self, name: Name, now: Certificate | None) -> Model:
        """With what a Secret has that a Gateway's listener names."""
        return self._with("certificates", name, now)

    def with_namespace(self, name: str, now: Mapping[str, str] | None) -> Model:
        """With a namespace of these labels."""
        return self._with("namespaces", name, now)

    def with_egress(self, name: Name, now: EgressPolicy | None) -> Model:
        """With an EgressPolicy."""
        return self._with("egress", name, now)

    def _with(self, kind: str, name: Any, now: Any) -> Model:
        held = getattr(self, kind)
        changed: Any = {kind: _with(held, name, now)}
        return self if held.get(name) == now else replace(self, **changed)

    def with_settings(self, settings: Settings) -> Model:
        """With another MeshConfig."""
        return self if settings == self.settings else replace(self, settings=settings)

    def with_roots(self, roots: str) -> Model:
        """With other roots (PEM)."""
        return replace(self, roots=roots)

    # What translation asks.

    def endpoints(self, service: Name, port: api.Port) -> list[tuple[api.Endpoint, int, Workload | None]]:
        """The endpoints of a Service's port, each with its port's number and, where it has a proxy, its workload."""
        found: dict[tuple[str, int], tuple[api.Endpoint, int, Workload | None]] = {}
        for name in sorted(self.slices_of[service]):
            part = self.slices[name]
            number = part.ports.get(port.name)
            for endpoint in part.endpoints if number else ():
                workload = self.workloads.get(endpoint.pod) if endpoint.pod else None
                found[endpoint.address, number or 0] = endpoint, number or 0, workload
        return list(found.values())

    def ports_of(self, workload: Workload) -> dict[int, str]:
        """The ports of a Pod that Services lead to, and their protocols.

        By the Services' selectors, not by EndpointSlices: so it is known before the Pod is ready. Where two Services
        say different things of one port, nothing is declared, and the proxy looks for itself.
        """
        found: dict[int, str] = {}
        for name in sorted(self.services_in[workload.name.namespace]):
            service = self.services[name]
            for port in service.ports if service.selects(workload) else ():
                named = isinstance(port.target, str)
                number = workload.named_ports.get(str(port.target)) if named else int(port.target)
                if number:
                    said = found.setdefault(number, port.protocol)
                    found[number] = said if said == port.protocol else api.AUTO
        return found

    def traffic_policy(self, service: Name, port: int) -> TrafficPolicy | None:
        """The TrafficPolicy that holds for a port of a Service."""
        return holding((self.traffic[name] for name in self.traffic_of[service]), service, port)

    def authentication(self, namespace: str) -> PeerAuthentication | None:
        """What holds in a namespace: the PeerAuthentication of the first name, should there be several."""
        held = sorted(self.authentications_of[namespace])
        return self.authentications[held[0]] if held else None

    def policies_for(self, workload: Workload) -> list[AuthorizationPolicy]:
        """The AuthorizationPolicies that are for a Pod."""
        held = (self.policies[name] for name in sorted(self.policies_of[workload.name.namespace]))
        return [each for each in held if each.selects(workload)]

    def mode(self, namespace: str, port: int | None = None) -> str:
        """STRICT or PERMISSIVE, for a Pod's port or for all that have no mode of their own."""
        held = self.authentication(namespace)
        if held is None:
            return self.settings.mode
        own = held.ports.get(port) if port is not None else None
        return own or held.mode or self.settings.mode


def parents(route: Route) -> list[Name]:
    """The Services that a route is attached to."""
    return [parent.name for parent in route.parents if parent.is_service]


def targets(route: Route) -> list[Name]:
    """The Services that a route sends to."""
    return [backend.name for backend in route.backends()]


def _with(held: Mapping[Key, Any], key: Key, now: Any) -> dict[Key, Any]:
    if now is None:
        return {each: value for each, value in held.items() if each != key}
    return {**held, key: now}


def _each(found: Any, of: Callable[[Any], list[Of]]) -> list[Of]:
    return of(found) if found is not None else []


def _pods(part: Slice) -> list[Name]:
    return [endpoint.pod for endpoint in part.endpoints if endpoint.pod]
