"""The Gateways of this mesh on a cluster: where they listen, whose routes they have, and as whom they call."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh import gateways, names
from labsupport.mesh.api import Object, name_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

API_VERSION = f"{gateways.GROUP}/v1"


@dataclass(frozen=True)
class ListenerState:
    """One listener; `trouble` says why it does not hold, "" where it does."""

    name: str
    port: int
    hostname: str  # "*" for every host
    routes: int
    trouble: str


@dataclass(frozen=True)
class GatewayState:
    """One Gateway, as its status says."""

    namespace: str
    name: str
    service: str
    identity: str  # what its proxies are to those that they call
    ready: bool  # accepted and programmed, as it is now
    trouble: str
    listeners: tuple[ListenerState, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def gateways_of(api: ApiClient, namespace: str = "") -> list[GatewayState]:
    """The Gateways of this mesh's classes, in `namespace` or in all. Errors: LabsError."""
    try:
        classes = kube.list_objects(api, API_VERSION, "GatewayClass")
    except kube.Refused:
        raise
    except LabsError:
        return []  # a kind that this cluster does not have
    ours = {
        each["metadata"]["name"] for each in classes if each["spec"]["controllerName"] == names.CONTROLLER
    }
    found = kube.list_objects(api, API_VERSION, "Gateway", namespace)
    return [state(each) for each in found if each["spec"]["gatewayClassName"] in ours]


def state(found: Object) -> GatewayState:
    """A Gateway as it is stored. Pure."""
    name = name_of(found)
    made = gateways.service_of(name)
    status = found.get("status") or {}
    said = {each["name"]: each for each in status.get("listeners") or ()}
    trouble = _trouble(found, status.get("conditions") or ())
    listeners = [
        ListenerState(
            each["name"],
            each["port"],
            each.get("hostname") or gateways.ANY,
            (said.get(each["name"]) or {}).get("attachedRoutes", 0),
            _trouble(found, (said.get(each["name"]) or {}).get("conditions") or ()),
        )
        for each in found["spec"]["listeners"]
    ]
    identity = names.spiffe_id(made.namespace, made.name)
    return GatewayState(*name, made.name, identity, not trouble, trouble, tuple(listeners))


def _trouble(found: Object, conditions: Any) -> str:
    wanted = {"Accepted": "True", "Programmed": "True", "ResolvedRefs": "True", "Conflicted": "False"}
    now = [e for e in conditions if e.get("observedGeneration") == found["metadata"]["generation"]]
    if not any(each["type"] == "Programmed" for each in now):
        return "nothing is said of it yet"
    bad = [each for each in now if wanted.get(each["type"], each["status"]) != each["status"]]
    return "; ".join(f"{each['type']} {each['status']} ({each['reason']}): {each['message']}" for each in bad)
