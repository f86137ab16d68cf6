"""Which AuthorizationPolicy decides a call, and why: what is in the cluster, judged as proxies judge it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh import api as records
from labsupport.mesh import authorization, changes, names
from labsupport.mesh.api import Name, Service, Workload
from labsupport.mesh.authorization import AUDIT, DENY, ENFORCE, Decision, Request
from labsupport.mesh.model import Model

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

NOBODY = "-"


@dataclass(frozen=True)
class Tried:
    """A rule, or (rule "") a policy without any; `misses`: the fields by which it does not match."""

    policy: str
    action: str
    mode: str
    rule: str
    misses: tuple[str, ...]


@dataclass(frozen=True)
class Explained:
    """What the proxies of Pods that have the same policies decide. `audit`: as if audited policies were enforced."""

    pods: tuple[str, ...]
    port: int
    http: bool
    path: str  # as the proxy compares it
    decision: Decision
    audit: Decision
    tried: tuple[Tried, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Call:
    """What is asked about. `caller`: NAMESPACE/SERVICEACCOUNT or -; `port`: of the Service, or of the Pod."""

    caller: str
    target: str
    method: str = "GET"
    path: str = "/"
    port: int | None = None
    headers: Mapping[str, str] | None = None


def explain(api: ApiClient, call: Call) -> list[Explained]:
    """Explain a call in the cluster. Errors: LabsError where nothing of that name is there."""
    namespace = _name(call.target).namespace
    model = Model()
    mesh = f"{names.GROUP}/v1alpha1"
    kinds = {"Service": "v1", "Pod": "v1", "PeerAuthentication": mesh, "AuthorizationPolicy": mesh}
    for kind, version in kinds.items():
        for found in kube.list_objects(api, version, kind, namespace):
            model = changes.applied(model, {**found, "kind": kind})
    for found in kube.list_objects(api, mesh, "MeshConfig", names.SYSTEM):
        model = changes.applied(model, {**found, "kind": "MeshConfig"})
    return judge(model, call)


def judge(model: Model, call: Call) -> list[Explained]:
    """Explain a call in a model; pure. Errors: LabsError as above."""
    name = _name(call.target)
    if service := model.services.get(name):
        workloads = [each for each in model.workloads.values() if service.selects(each)]
    else:
        workloads = [each for each in (model.workloads.get(name),) if each]
    workloads = [each for each in workloads if each.capture == "redirect"]
    if not workloads:
        what = "no Pod with a proxy that is captured to" if service else "no Service, nor a Pod with a proxy"
        raise LabsError(
            f"There is {what}: {name}. Without its proxy nothing is decided.", fix="labs mesh status"
        )
    found: dict[tuple[Any, ...], Explained] = {}
    for workload in sorted(workloads, key=lambda each: each.name):
        one = _judge(model, workload, service, call)
        key = (one.port, one.http, one.decision, one.audit, one.tried)
        pods = (*found[key].pods, workload.name.name) if key in found else (workload.name.name,)
        found[key] = Explained(pods, one.port, one.http, one.path, one.decision, one.audit, one.tried)
    return list(found.values())


def _judge(model: Model, workload: Workload, service: Service | None, call: Call) -> Explained:
    port = _port(workload, service, call.port)
    speaks = model.ports_of(workload).get(port, records.AUTO)
    http = bool(call.method) and speaks in (records.HTTP, records.HTTP2, records.AUTO)
    identity = "" if call.caller == NOBODY else names.spiffe_id(*_name(call.caller))
    path = authorization.resolved(call.path)
    headers = {name.lower(): value for name, value in (call.headers or {}).items()}
    request = Request(identity, port, call.method if http else "", path, headers)
    policies = model.policies_for(workload)
    if not identity and model.mode(workload.name.namespace, port) == records.STRICT:
        closed = Decision(
            False, "", "its namespace is STRICT: without a certificate of the mesh nobody gets this far"
        )
        return Explained((), port, http, path, closed, closed, ())
    tried = []
    for policy in policies:
        for index, rule in enumerate(policy.rules):
            misses = authorization.misses(rule, request, doubt=policy.action == DENY)
            tried.append(Tried(str(policy.name), policy.action, policy.mode, str(index), tuple(misses)))
        if not policy.rules:
            tried.append(Tried(str(policy.name), policy.action, policy.mode, "", ("it has no rules",)))
    decided = authorization.decide(policies, request)
    audit = authorization.decide(policies, request, ENFORCE, AUDIT)
    return Explained((), port, http, path, decided, audit, tuple(tried))


def _port(workload: Workload, service: Service | None, asked: int | None) -> int:
    """The port of the Pod that is called."""
    if service is None:
        if asked is None:
            raise LabsError("Of a Pod the port must be said.", fix="--port NUMBER")
        return asked
    port = service.port(asked) if asked is not None else next(iter(service.ports), None)
    if port is None:
        raise LabsError(f"Service {service.name} has no port {asked if asked is not None else 'of TCP'}.")
    return int(port.target) if isinstance(port.target, int) else workload.named_ports.get(port.target, 0)


def _name(text: str) -> Name:
    namespace, slash, name = text.partition("/")
    if not (namespace and slash and name):
        raise LabsError(f"{text!r} is not of the form NAMESPACE/NAME.")
    return Name(namespace, name)
