"""What has to be translated again when an object changes: parts, each a small piece of the configuration.

So that work follows what changed and not the size of the mesh: a route costs one part, however many Services there are.
"""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from labsupport.mesh import gateways, names
from labsupport.mesh.api import Name, Reference
from labsupport.mesh.model import Model, parents
from labsupport.mesh.translate import (
    authorization,
    envoy,
    explicit,
    gateway,
    inbound,
    outbound,
    routes,
    services,
    tls,
)
from labsupport.mesh.translate.resource import EVERYONE, Key, Resource


class Part(NamedTuple):
    """A unit of translation: its kind (a key of TRANSLATIONS), and what of that kind."""

    kind: str
    of: Name = Name("", "")


SERVICE, ROUTES, WORKLOAD, OUTBOUND, TRUST = "service", "routes", "workload", "outbound", "trust"
EXPLICIT, EGRESS, AUTHORIZATION = "explicit", "egress", "authorization"
OF_A_POD = (WORKLOAD, AUTHORIZATION)  # what nobody but the Pod's own proxy asks for


def translate(model: Model, part: Part) -> list[Resource]:
    """The resources of a part as they are in this model."""
    match part.kind:
        case "service":
            return services.translate(model, part.of)
        case "routes":
            return routes.translate(model, part.of)
        case "workload":
            return [*inbound.translate(model, part.of), *gateway.translate(model, part.of)]
        case "authorization":
            return authorization.translate(model, part.of)
        case "outbound":
            return [*outbound.translate(model), *inbound.clusters()]
        case "explicit":
            return explicit.translate(model, part.of.namespace)
        case "egress":
            return outbound.of_namespace(model, part.of.namespace)
        case "trust":
            return (
                [Resource(Key(envoy.SECRET, EVERYONE, names.TRUST), tls.trust(model.roots))]
                if model.roots
                else []
            )
    raise ValueError(f"no part {part.kind!r}")


def everything(model: Model, connected: Set[Name]) -> set[Part]:
    """All parts of a mesh with these proxies."""
    found = {Part(OUTBOUND), Part(TRUST), *(Part(each, name) for name in connected for each in OF_A_POD)}
    for name in model.services:
        found |= {Part(SERVICE, name), Part(ROUTES, name)}
    return found | _explicit(model) | _egress(model)


def affected(before: Model, after: Model, changed: Reference, connected: Set[Name]) -> set[Part]:
    """The parts that a change of one object touches.

    `connected`: the Pods whose proxies are here; nobody asks for the others' own parts.
    """
    name = Name(changed.namespace, changed.name)
    found: set[Part] = set()
    match changed.kind:
        case "Service":
            found = {Part(SERVICE, name), Part(ROUTES, name)}
            found |= _routes_to(after, name)
            found |= {
                Part(WORKLOAD, pod)
                for model in (before, after)
                if (service := model.services.get(name))
                for pod in connected
                if (workload := model.workloads.get(pod)) and service.selects(workload)
            }
        case "EndpointSlice":
            for model in (before, after):
                if part := model.slices.get(name):
                    found.add(Part(SERVICE, part.service))
        case "Pod":
            found = {Part(OUTBOUND), *(Part(each, name) for each in OF_A_POD), *_egress(after)}
            found |= {Part(SERVICE, service) for service in after.services_of[name]}
        case "HTTPRoute" | "GRPCRoute":
            for model in (before, after):
                if route := model.routes.get(changed):
                    found |= {Part(ROUTES, parent) for parent in parents(route)}
        case "TrafficPolicy":
            policies = (model.traffic.get(name) for model in (before, after))
            for each in {each for policy in policies if policy for each in policy.services()}:
                found |= {Part(SERVICE, each), Part(ROUTES, each)}
        case "PeerAuthentication":
            found = {Part(WORKLOAD, each) for each in connected if each.namespace == name.namespace}
        case "AuthorizationPolicy":
            found = _authorized(before, after, name, connected)
        case "EgressPolicy":
            found = {Part(EGRESS, Name(name.namespace, "")), *_explicit(after)}
        case "MeshConfig":
            found = {Part(WORKLOAD, each) for each in connected}
            if before.settings.reporting != after.settings.reporting:
                found = everything(after, connected)
        case "Secret":
            found = {Part(TRUST)}
    if changed.kind == "Service" and (tracing := after.settings.tracing) and tracing.service == name:
        found |= everything(
            after, connected
        )  # its cluster is named in every listener, or must not be any more
    at = _gateways_of(before, after, changed)
    found |= {Part(WORKLOAD, pod) for pod in connected if _is_proxy_of(after, pod, at)} if at else set()
    if any(part.kind == ROUTES for part in found) or changed.kind == "Pod":
        found |= _explicit(before) | _explicit(after)
    return {part for part in found if part.kind not in OF_A_POD or part.of in connected}


def _authorized(before: Model, after: Model, policy: Name, connected: Set[Name]) -> set[Part]:
    """The Pods that a policy is or was for; their listeners too where it says something of bytes."""
    found = set()
    for name in connected:
        pod = after.workloads.get(name)
        held = [each for model in (before, after) if pod and (each := model.policies.get(policy))]
        if pod and any(each.selects(pod) for each in held):
            found.add(Part(AUTHORIZATION, name))
            # The listener names its policies, where it has any.
            if any(filters for model in (before, after) for filters in inbound.of_bytes(model, pod).values()):
                found.add(Part(WORKLOAD, name))
    return found


def _gateways_of(before: Model, after: Model, changed: Reference) -> set[Name]:
    """The Gateways whose configuration a change touches."""
    name = Name(changed.namespace, changed.name)
    match changed.kind:
        case "Gateway":
            return {name}
        case "HTTPRoute" | "GRPCRoute":
            return {
                parent
                for model in (before, after)
                if (route := model.routes.get(changed))
                for parent in gateways.parents(route)
            }
        case "TrafficPolicy":
            policies = [model.traffic[name] for model in (before, after) if name in model.traffic]
            services = [service for policy in policies for service in policy.services()]
            routes_ = [after.routes[each] for service in services for each in after.users_of[service]]
            return {parent for route in routes_ for parent in gateways.parents(route)}
        case "Service":
            routes_ = [after.routes[reference] for reference in after.users_of[name]]
            return {parent for route in routes_ for parent in gateways.parents(route)}
        case "Namespace" | "GatewayClass" | "ReferenceGrant":
            return set(after.gateways)
        case "Certificate":
            return {each.name for each in after.gateways.values() if name in gateways.secrets(each)}
    return set()


def _is_proxy_of(model: Model, pod: Name, at: Set[Name]) -> bool:
    workload = model.workloads.get(pod)
    return workload is not None and gateways.of_workload(workload) in at


def _egress(model: Model) -> set[Part]:
    """The namespaces whose listener for what goes out is one of their own."""
    return {Part(EGRESS, Name(name.namespace, "")) for name in model.egress}


def _explicit(model: Model) -> set[Part]:
    """The namespaces with Pods that are not captured; their routes are one resource, so any route concerns them."""
    return {Part(EXPLICIT, Name(namespace, "")) for namespace in model.explicit}


def _routes_to(model: Model, service: Name) -> set[Part]:
    """The parts of Services whose routes send to `service`."""
    routes_ = (model.routes[reference] for reference in model.users_of[service])
    return {Part(ROUTES, parent) for route in routes_ for parent in parents(route)}
