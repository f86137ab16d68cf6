"""What the control plane says of its proxies, and what a proxy says of itself: asked on the loopback of their Pods."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.mesh import names
from labsupport.mesh.admin import running
from labsupport.mesh.admin.workloads import has_proxy
from labsupport.mesh.api import Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

GATEWAY = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True)
class ProxyState:
    """A proxy as the control plane sees it. Times are seconds since the epoch; `refusal` is its last NACK."""

    namespace: str
    pod: str
    control: str  # the Pod of the control plane that it follows
    envoy: str
    since: float
    synced: bool
    acknowledged: float
    refusal: str
    refused: tuple[str, ...]  # what it does not take now: "routes shop/orders/80"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def ask(api: ApiClient, path: str) -> dict[str, Any]:
    """What each Pod of the control plane answers to `path` (mesh/look.py), by its name.

    Errors: LabsError where none answers.
    """
    url = f"http://127.0.0.1:{names.LOOK}{path}"
    return {pod["metadata"]["name"]: json.loads(_curl(api, pod, url)) for pod in controls(api)}


def controls(api: ApiClient) -> list[Object]:
    """The ready Pods of the control plane. Errors: LabsError where there is none."""
    pods = kube.list_objects(api, "v1", "Pod", names.SYSTEM, labels=f"{names.GROUP}/part=control")
    found = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and _ready(pod)]
    if not found:
        raise LabsError("No control plane of the mesh is ready on this cluster.", fix="labs mesh status")
    return found


def proxies(api: ApiClient) -> list[ProxyState]:
    """All connected proxies. Errors: LabsError where no control plane answers."""
    states = [_state(control, each) for control, said in ask(api, "/proxies").items() for each in said]
    return sorted(states, key=lambda state: (state.namespace, state.pod, state.since))


def _state(control: str, said: Object) -> ProxyState:
    types = said["types"]
    last = max(said["refusals"], key=lambda each: each["at"], default=None)
    refused = tuple(f"{kind} {name}" for kind, each in types.items() for name in each["refused"])
    return ProxyState(
        said["namespace"],
        said["pod"],
        control,
        said["envoy"],
        said["since"],
        said["synced"],
        max(each["acknowledged"] for each in types.values()),
        last["message"].strip() if last else "",
        refused,
    )


def dump(api: ApiClient, namespace: str, pod: str) -> dict[str, list[Any]]:
    """Envoy's own resources in the proxy of a Pod. Errors: LabsError where it has none, or does not answer."""
    answer = admin(api, namespace, pod, "/config_dump?include_eds")
    return {kind: list(each) for kind, each in running.resources(json.loads(answer)).items()}


def certificate(api: ApiClient, namespace: str, pod: str) -> tuple[str, str]:
    """The SPIFFE ID and the end (RFC 3339) of the certificate that a Pod's proxy uses; "" where it has none."""
    found = json.loads(admin(api, namespace, pod, "/certs"))
    for entry in found.get("certificates") or ():
        for each in entry.get("cert_chain") or ():
            names_ = [said["uri"] for said in each.get("subject_alt_names") or () if "uri" in said]
            if names_:
                return names_[0], each.get("expiration_time", "")
    return "", ""


def admin(api: ApiClient, namespace: str, pod: str, path: str) -> str:
    """What the admin interface of a Pod's Envoy answers. Errors: LabsError."""
    found = kube.get(api, "v1", "Pod", pod, namespace)
    if found is None:
        raise LabsError(
            f"There is no Pod {pod!r} in namespace {namespace!r}.", fix="labs mesh proxies lists them"
        )
    if not has_proxy(found):
        raise LabsError(f"The Pod {namespace}/{pod} has no proxy.", fix="labs mesh status says why")
    return _curl(api, found, f"http://127.0.0.1:{names.ADMIN}{path}", names.PROXY_CONTAINER)


def _curl(api: ApiClient, pod: Object, url: str, container: str = "") -> str:
    metadata = pod["metadata"]
    command = ["curl", "-sS", "--max-time", "10", url]
    return execute(api, metadata["namespace"], metadata["name"], command, container=container, timeout=15)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@dataclass(frozen=True)
class RouteState:
    """A route at one of its parents, and what is said of it."""

    kind: str
    namespace: str
    name: str
    parent: str  # "shop/orders:80"
    clients: str  # whom it is for: everyone, or a namespace
    conditions: tuple[tuple[str, bool, str, str], ...]  # type, status, reason, message

    @property
    def ok(self) -> bool:
        """Whether everything is well with it."""
        return bool(self.conditions) and all(each[1] for each in self.conditions)


def routes(api: ApiClient, namespace: str = "") -> list[RouteState]:
    """The routes that have Services as parents, in `namespace` or in all. Errors: Refused, Unreachable."""
    found = []
    for kind in ("HTTPRoute", "GRPCRoute"):
        try:
            objects = kube.list_objects(api, GATEWAY, kind, namespace)
        except kube.Refused:
            raise
        except LabsError:
            continue  # a kind that this cluster does not have
        found += [state for each in objects for state in _route_states(each)]
    return found


def _route_states(found: Object) -> list[RouteState]:
    metadata = found["metadata"]
    said = (found.get("status") or {}).get("parents") or []
    states = []
    for ref in found["spec"].get("parentRefs") or ():
        if ref.get("kind") != "Service":
            continue
        ours = [e for e in said if e["controllerName"] == names.CONTROLLER and e["parentRef"] == ref]
        conditions = [
            (each["type"], each["status"] == "True", each["reason"], each["message"])
            for each in (ours[0]["conditions"] if ours else ())
            if each.get("observedGeneration") == metadata["generation"]
        ]
        place = ref.get("namespace", metadata["namespace"])
        port = f":{ref['port']}" if "port" in ref else ""
        clients = "everyone" if place == metadata["namespace"] else f"namespace {metadata['namespace']}"
        parent = f"{place}/{ref['name']}{port}"
        states.append(
            RouteState(
                found["kind"], metadata["namespace"], metadata["name"], parent, clients, tuple(conditions)
            )
        )
    return states
