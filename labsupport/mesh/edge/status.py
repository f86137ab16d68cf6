"""What is said of a Gateway, its listeners and its class, in the Gateway API's conditions and reasons (GEP-1364). Pure.

Accepted: it can be had. Programmed: a proxy of it is ready at its address, and all have acknowledged what it says.
"""

from __future__ import annotations

from labsupport.mesh import gateways, names
from labsupport.mesh.api import Object
from labsupport.mesh.gateways import Fault, Gateway, Listener
from labsupport.mesh.model import Model
from labsupport.mesh.progress import Progress, settled
from labsupport.mesh.status import Condition, written


def class_status(found: Object, now: str) -> Object | None:
    """The status of a GatewayClass of this mesh as it should be, or None if it is so already, or is not ours."""
    if found["spec"]["controllerName"] != names.CONTROLLER:
        return None
    before = (found.get("status") or {}).get("conditions") or []
    said = Condition("Accepted", True, "Accepted", "Gateways of this class are made here")
    if "parametersRef" in found["spec"]:
        said = Condition("Accepted", False, "InvalidParameters", "there are no parameters")
    conditions = written([said], found["metadata"]["generation"], before, now)
    return None if conditions == before else {"conditions": conditions}


def gateway_status(
    model: Model, found: Object, refusal: str, trouble: str, now: str, progress: Progress | None = None
) -> Object | None:
    """The status of a Gateway as it should be, or None if it is so already, or is not ours.

    `refusal`: why a proxy did not take what was made of it. `trouble`: why its objects are not as they should be.
    """
    gateway = gateways.gateway(found)
    if not gateways.is_ours(model, gateway):
        return None
    before = found.get("status") or {}
    ready, addresses = _serving(model, gateway)
    if trouble:
        programmed = Condition("Programmed", False, "Pending", trouble)
    elif refusal:
        programmed = Condition("Programmed", False, "Invalid", f"refused; what was good stays: {refusal}")
    elif not ready:
        programmed = Condition("Programmed", False, "Pending", "no proxy of it is ready yet")
    elif (
        progress and not progress.complete and not settled(before.get("conditions") or [], gateway.generation)
    ):
        programmed = Condition("Programmed", False, "Pending", progress.text)
    else:
        programmed = Condition("Programmed", True, "Programmed", f"{ready} ready")
    attached = gateways.attached(model, gateway)
    listeners = []
    for each in gateway.listeners:
        old: list[Object] = before.get("listeners") or []
        held: Object = next((e for e in old if e["name"] == each.name), {})
        said = _listener(model, gateway, each, programmed)
        listeners.append({
            "name": each.name,
            "supportedKinds": [{"group": gateways.GROUP, "kind": kind} for kind in _kinds(each)],
            "attachedRoutes": len(attached.get(each.name, ())),
            "conditions": written(said, gateway.generation, held.get("conditions") or [], now),
        })  # fmt: skip
    conditions = written(
        [_accepted(gateway), programmed], gateway.generation, before.get("conditions") or [], now
    )
    wanted = {
        "addresses": [{"type": "IPAddress", "value": each} for each in addresses],
        "conditions": conditions,
        "listeners": listeners,
    }
    return None if wanted == {key: before.get(key) for key in wanted} else wanted


def _serving(model: Model, gateway: Gateway) -> tuple[int, tuple[str, ...]]:
    """How many of its proxies are ready, and its addresses."""
    service = model.services.get(gateways.service_of(gateway.name))
    if service is None or not service.ports:
        return 0, ()
    behind = model.endpoints(service.name, service.ports[0])
    return sum(1 for endpoint, _, _ in behind if endpoint.ready), service.addresses


def _accepted(gateway: Gateway) -> Condition:
    if gateway.fault:
        return Condition("Accepted", False, "UnsupportedValue", gateway.fault)
    bad = [each.name for each in gateway.listeners if gateways.fault(gateway, each)]
    if bad:
        some = len(bad) < len(gateway.listeners)
        text = f"not all listeners hold: {', '.join(bad)}"
        return Condition("Accepted", some, "ListenersNotValid", text)
    return Condition("Accepted", True, "Accepted", "it holds")


def _kinds(listener: Listener) -> list[str]:
    """The kinds of routes that can be attached, of those that it asks for."""
    return [each for each in gateways.KINDS if not listener.kinds or (gateways.GROUP, each) in listener.kinds]


def _listener(model: Model, gateway: Gateway, listener: Listener, programmed: Condition) -> list[Condition]:
    found: Fault | None = gateways.fault(gateway, listener)
    conflict = found is not None and found.reason in ("HostnameConflict", "ProtocolConflict")
    known = {(gateways.GROUP, each) for each in gateways.KINDS}
    unknown = [kind for group, kind in listener.kinds if (group, kind) not in known]
    refs = Condition("ResolvedRefs", True, "ResolvedRefs", "all that it names is there")
    if unknown:
        text = f"{' and '.join(gateways.KINDS)} can be attached, not {', '.join(unknown)}"
        refs = Condition("ResolvedRefs", False, "InvalidRouteKinds", text)
    if lacking := gateways.unresolved(model, gateway, listener):
        refs = Condition("ResolvedRefs", False, *lacking)
        programmed = Condition("Programmed", False, "Invalid", lacking.message)
    said = found or Fault("Accepted", "it holds")
    alone = Condition(
        "Conflicted", conflict, *(said if conflict else ("NoConflicts", "no other one is in its way"))
    )
    if found:
        programmed = Condition("Programmed", False, "Invalid", found.message)
    return [Condition("Accepted", found is None, *said), alone, refs, programmed]
