"""TrafficPolicies as records, and which of them holds for a Service's port (GEP-713, direct attachment).

What they say stays as it is in YAML, with the server's defaults filled in; translate/traffic.py reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from labsupport.mesh.api import TCP, TLS, Name, Object, Port, Reference, Service, name_of

if TYPE_CHECKING:
    from labsupport.mesh.model import Model


class Target(NamedTuple):
    """A Service, or one port of it."""

    service: Name
    port: int | None

    def __str__(self) -> str:
        return f"{self.service}:{self.port}" if self.port is not None else str(self.service)


@dataclass(frozen=True)
class TrafficPolicy:
    """A TrafficPolicy; `spec` as in YAML."""

    name: Name
    created: str  # RFC 3339
    targets: tuple[Target, ...]
    spec: Object

    @property
    def reference(self) -> Reference:
        """Which object it is."""
        return Reference("TrafficPolicy", *self.name)

    def services(self) -> list[Name]:
        """The Services that it targets."""
        return [target.service for target in self.targets]

    def rank(self, service: Name, port: int) -> tuple[bool, str, Name] | None:
        """The lowest holds: one that names the port, then the older, then by name. None if it does not target it."""
        if Target(service, port) in self.targets:
            return False, self.created, self.name
        return (True, self.created, self.name) if Target(service, None) in self.targets else None


def traffic_policy(found: Object) -> TrafficPolicy:
    """A TrafficPolicy's record."""
    name, spec = name_of(found), found["spec"]
    targets = (Target(Name(name.namespace, each["name"]), each.get("port")) for each in spec["targetRefs"])
    return TrafficPolicy(name, found["metadata"].get("creationTimestamp", ""), tuple(targets), spec)


def holding(policies: Iterable[TrafficPolicy], service: Name, port: int) -> TrafficPolicy | None:
    """Which of these policies holds for a port of a Service, if one does."""
    ranked = [(rank, each) for each in policies if (rank := each.rank(service, port))]
    return min(ranked, key=lambda entry: entry[0])[1] if ranked else None


def standing(model: Model, policy: TrafficPolicy) -> tuple[bool, str, str]:
    """What its condition Accepted says: status, reason, message.

    It is accepted if each of its targets is there, and takes it at one port at least.
    """
    faults, notes = [], []
    for target in policy.targets:
        service = model.services.get(target.service)
        ports = _ports(service, target)
        if service is None or not ports:
            lacks = f"Service {target.service} has no port {target.port} of TCP" if service else ""
            faults.append(("TargetNotFound", lacks or f"there is no Service {target.service}"))
            continue
        held = {port: model.traffic_policy(target.service, port.number) for port in ports}
        lost = {port: other for port, other in held.items() if other and other.name != policy.name}
        others = ", ".join(f"{other.name} at {port.number}" for port, other in lost.items())
        if len(lost) == len(ports):
            faults.append(("Conflicted", f"of {target.service} others hold: {others}"))
            continue
        if lost:
            notes.append(f"of {target.service} others hold besides: {others}")
        notes += [_without_effect(policy, service, port) for port in ports if port not in lost]
    if faults:
        return False, faults[0][0], "; ".join(said for _, said in faults)
    return True, "Accepted", "; ".join(["it holds", *filter(None, notes)])


def _ports(service: Service | None, target: Target) -> list[Port]:
    """The ports that a target means."""
    return [port for port in service.ports if target.port in (None, port.number)] if service else []


def _without_effect(policy: TrafficPolicy, service: Service, port: Port) -> str:
    """What a policy says in vain of a port."""
    said = {**policy.spec, **policy.spec.get("loadBalancing", {}), **policy.spec.get("limits", {})}
    vain = [part for part in ("retries", "hash", "faults", "requestsPerSecond") if part in said]
    if not vain:
        return ""
    if port.protocol in (TCP, TLS):
        return f"port {port.number} of {service.name} speaks {port.protocol}: {', '.join(vain)} without effect there"
    if not service.addresses:
        return f"{service.name} has no address of its own: {', '.join(vain)} without effect"
    return ""
