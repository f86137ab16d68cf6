"""What is said of a route or a policy in its status, in the Gateway API's own conditions and reasons.

Accepted: it is understood and attached. ResolvedRefs: all that it names is there and may be named. Programmed: all
proxies that need what was made of it have acknowledged it (progress.py).
(https://gateway-api.sigs.k8s.io/geps/gep-1364/; Programmed of a route is ours.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

from labsupport.mesh import api, authorization, changes, gateways, names, traffic
from labsupport.mesh.api import Name, Object, Parent, Reference, Route
from labsupport.mesh.model import Model, parents
from labsupport.mesh.progress import Progress, settled
from labsupport.mesh.translate import reports, routes
from labsupport.mesh.translate.services import speaks_http


@dataclass(frozen=True)
class Condition:
    """One condition; `ok` is its status."""

    type: str
    ok: bool
    reason: str
    message: str


def touched(before: Model, after: Model, changed: Reference) -> set[Reference]:
    """The objects whose status may be another one after a change."""
    name = Name(changed.namespace, changed.name)
    match changed.kind:
        case "HTTPRoute" | "GRPCRoute":
            # Those that share a parent with it, too: where there are both kinds, GRPCRoutes alone hold.
            found = [route for model in (before, after) if (route := model.routes.get(changed))]
            at = {Reference("Gateway", *each) for route in found for each in gateways.parents(route)}
            sharing = (after.routes_of[parent] for route in found for parent in parents(route))
            return {changed, *at}.union(*sharing)
        case "Gateway":
            return {changed, *after.routes_at[name]}
        case "GatewayClass" | "Namespace" | "ReferenceGrant":
            return {changed}.union(*map(_at, after.gateways, repeat(after)))
        case "Certificate":
            named = (each for each in after.gateways.values() if name in gateways.secrets(each))
            return {each.reference for each in named}
        case "EndpointSlice":
            return {
                Reference("Gateway", *each) for each in after.gateways if _is_of(before, after, name, each)
            }
        case "PeerAuthentication" | "AuthorizationPolicy" | "EgressPolicy" | "MeshConfig":
            return {changed}
        case "TrafficPolicy":
            # Those that share a target with it, too: another one may hold now.
            policies = [policy for model in (before, after) if (policy := model.traffic.get(name))]
            return {changed}.union(
                *(_policies(after, each) for policy in policies for each in policy.services())
            )
        case "Service":
            own = {each for each in after.gateways if gateways.service_of(each) == name}
            at = {Reference("Gateway", *each) for each in own}
            found_ = after.routes_of[name] | after.users_of[name] | before.routes_of[name]
            tracing = after.settings.tracing
            config = {Reference("MeshConfig", *changes.MESH_CONFIG)}
            traced = config if tracing is not None and tracing.service == name else set()
            return set(found_) | _policies(after, name) | at | traced
    return set()


def _policies(model: Model, service: Name) -> set[Reference]:
    return {model.traffic[each].reference for each in model.traffic_of[service]}


def _at(gateway: Name, model: Model) -> set[Reference]:
    """A Gateway and its routes."""
    return {Reference("Gateway", *gateway), *model.routes_at[gateway]}


def _is_of(before: Model, after: Model, part: Name, gateway: Name) -> bool:
    """Whether an EndpointSlice is, or was, one of a Gateway's Service."""
    held = (model.slices.get(part) for model in (before, after))
    return any(each is not None and each.service == gateways.service_of(gateway) for each in held)


def parent_conditions(model: Model, route: Route, parent: Parent, programmed: Condition) -> list[Condition]:
    """What is said of a route at one of its parents."""
    accepted = _at_gateway if gateways.is_gateway(parent) else _accepted
    return [accepted(model, route, parent), _resolved(model, route, parent), programmed]


def policy_conditions(
    model: Model, found: Object, refusal: str, progress: Progress | None = None
) -> list[Condition]:
    """What is said of a policy or a MeshConfig."""
    reference = changes.reference(found)
    name = Name(reference.namespace, reference.name)
    if reference.kind == "MeshConfig" and name != changes.MESH_CONFIG:
        text = f"only the one in namespace {names.SYSTEM} holds: this one has no effect"
        return [Condition("Accepted", False, "Invalid", text)]
    standing = (True, "Accepted", _holds(found))
    if reference.kind == "TrafficPolicy":
        standing = traffic.standing(model, traffic.traffic_policy(found))
    before = (found.get("status") or {}).get("conditions") or []
    held = settled(before, found["metadata"].get("generation", 0))
    of_config = [_collector(model)] if reference.kind == "MeshConfig" else []
    return [Condition("Accepted", *standing), *of_config, programmed(refusal, progress, held)]


def _collector(model: Model) -> Condition:
    """Whether what the MeshConfig names is there: the collector of spans."""
    if why := reports.no_collector(model):
        text = f"tracing.collector: {why}. Until it is there no spans are made; all else holds"
        return Condition("ResolvedRefs", False, "BackendNotFound", text)
    return Condition("ResolvedRefs", True, "ResolvedRefs", "all that it names is there")


def _holds(found: Object) -> str:
    """That a policy holds, and where it does not do what it may be thought to."""
    if found["kind"] != authorization.KIND:
        return "it holds"
    policy = authorization.authorization_policy(found)
    needing = [str(index) for index, rule in enumerate(policy.rules) if rule.needs_http]
    if not needing:
        return "it holds"
    what = "matches always" if policy.action == authorization.DENY else "never matches"
    return f"it holds; where only bytes are seen, what rule {', '.join(needing)} says of HTTP {what}"


def programmed(refusal: str, progress: Progress | None, held: str, faults: str = "") -> Condition:
    """Whether proxies have it. `refusal`: why a proxy, or the translation, did not take it; `held`: see `settled`."""
    if not refusal and faults:
        return Condition("Programmed", False, "Invalid", f"not all of it: {faults}")
    if refusal:
        return Condition(
            "Programmed",
            False,
            "Invalid",
            f"refused; it stays as it was when it was last good, and others go on: {refusal.strip()}",
        )
    if held or progress is None:
        return Condition("Programmed", True, "Programmed", held or "no proxy refused it")
    if not progress.complete:
        return Condition("Programmed", False, "Pending", progress.text)
    return Condition("Programmed", True, "Programmed", progress.text)


def _at_gateway(model: Model, route: Route, parent: Parent) -> Condition:
    gateway = model.gateways[parent.name]
    held = gateways.attach(model, gateway, route, parent)
    if isinstance(held, gateways.Fault):
        return Condition("Accepted", False, *held)
    if faults := routes.faults(route):
        return Condition("Accepted", False, "UnsupportedValue", "; ".join(faults))
    return Condition("Accepted", True, "Accepted", f"attached to {', '.join(held)}")


def _accepted(model: Model, route: Route, parent: Parent) -> Condition:
    service = model.services.get(parent.name)
    if service is None:
        return Condition("Accepted", False, "NoMatchingParent", f"there is no Service {parent.name}")
    if not service.addresses:
        text = f"Service {parent.name} has no address of its own: clients call what is behind it"
        return Condition("Accepted", False, "NoMatchingParent", text)
    ports = [port for port in service.ports if routes.selects(parent, port)]
    if not ports:
        asked = f"port {parent.port}" if parent.port is not None else f"port named {parent.section!r}"
        return Condition("Accepted", False, "NoMatchingParent", f"Service {parent.name} has no {asked}")
    if not any(speaks_http(port) for port in ports):
        said = ", ".join(f"{port.number} is {port.protocol}" for port in ports)
        return Condition(
            "Accepted", False, "NoMatchingParent", f"no port of {parent.name} speaks HTTP: {said}"
        )
    held = [routes.attached_routes(model, parent.name, port) for port in ports if speaks_http(port)]
    kinds = [{each.kind for each in routes.of(attached, route.name.namespace)} for attached in held]
    if route.kind == "HTTPRoute" and all("GRPCRoute" in each for each in kinds):
        text = f"there are GRPCRoutes of {parent.name}, and where there are both kinds they alone hold"
        return Condition("Accepted", False, "Conflicted", text)
    if faults := routes.faults(route):
        return Condition("Accepted", False, "UnsupportedValue", "; ".join(faults))
    return Condition("Accepted", True, "Accepted", "attached")


def _resolved(model: Model, route: Route, parent: Parent) -> Condition:
    for each in route.backends():
        if (each.group, each.kind) != ("", "Service"):
            text = f"{each.kind} {each.name}: only Services can be sent to"
            return Condition("ResolvedRefs", False, "InvalidKind", text)
        if gateways.is_gateway(parent) and not gateways.permitted(model, route, each):
            text = f"no ReferenceGrant in {each.name.namespace} opens Service {each.name} to {route.name.namespace}"
            return Condition("ResolvedRefs", False, "RefNotPermitted", text)
        service = model.services.get(each.name)
        if service is None:
            return Condition("ResolvedRefs", False, "BackendNotFound", f"there is no Service {each.name}")
        port = service.port(each.port) if each.port is not None else None
        if port is None:
            text = (
                f"Service {each.name} has no port {each.port}"
                if each.port
                else f"a port of {each.name} must be named"
            )
            return Condition("ResolvedRefs", False, "BackendNotFound", text)
        if not speaks_http(port):
            text = f"port {each.port} of {each.name} speaks {port.protocol}, not HTTP"
            return Condition("ResolvedRefs", False, "UnsupportedProtocol", text)
    return Condition("ResolvedRefs", True, "ResolvedRefs", "all that it names is there")


def written(conditions: list[Condition], generation: int, before: list[Object], now: str) -> list[Object]:
    """Conditions as they are stored; the time of one whose status is as before stays. `now`: RFC 3339."""
    times = {(each["type"], each["status"]): each["lastTransitionTime"] for each in before}
    found = []
    for each in conditions:
        status = "True" if each.ok else "False"
        found.append({
            "type": each.type,
            "status": status,
            "reason": each.reason,
            "message": each.message[:32768],
            "observedGeneration": generation,
            "lastTransitionTime": times.get((each.type, status), now),
        })  # fmt: skip
    return found


def route_status(
    model: Model, found: Object, refusal: str, now: str, progress: Progress | None = None
) -> Object | None:
    """The status of a route as it should be, or None if it is so already. What other controllers say stays."""
    route = api.route(found)  # not the model's: that may be of before or after
    held = (found.get("status") or {}).get("parents") or []
    others = [each for each in held if each["controllerName"] != names.CONTROLLER]
    ours = [each for each in held if each["controllerName"] == names.CONTROLLER]
    entries, faults = [], "; ".join(routes.faults(route))
    for parent, raw in zip(route.parents, found["spec"]["parentRefs"], strict=True):
        gateway = model.gateways.get(parent.name) if gateways.is_gateway(parent) else None
        if not parent.is_service and not (gateway and gateways.is_ours(model, gateway)):
            continue
        before: list[Object] = next((each["conditions"] for each in ours if each["parentRef"] == raw), [])
        done = programmed(refusal, progress, settled(before, route.generation), faults)
        conditions = written(parent_conditions(model, route, parent, done), route.generation, before, now)
        entries.append({"parentRef": raw, "controllerName": names.CONTROLLER, "conditions": conditions})
    return None if entries == ours else {"parents": [*others, *entries]}


def policy_status(
    model: Model, found: Object, refusal: str, now: str, progress: Progress | None = None
) -> Object | None:
    """The status of a policy of ours as it should be, or None if it is so already."""
    before = (found.get("status") or {}).get("conditions") or []
    said = policy_conditions(model, found, refusal, progress)
    conditions = written(said, found["metadata"]["generation"], before, now)
    return None if conditions == before else {"conditions": conditions}
