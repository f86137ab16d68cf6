"""The Kubernetes objects that the mesh follows, each as a small frozen record of what matters here.

Kubernetes has validated them when they were stored, so that reading is plain. The rules of routes stay as they are in
YAML: the translation reads them by the names that the Gateway API gave them (https://gateway-api.sigs.k8s.io).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labsupport.mesh import names

Object = dict[str, Any]  # as the API server sends it
STRICT, PERMISSIVE = "STRICT", "PERMISSIVE"
# What a Service's port says of its protocol, or "auto" where it says nothing: then the proxy looks at the first bytes.
HTTP, HTTP2, TLS, TCP, AUTO = "http", "http2", "tls", "tcp", "auto"
_PROTOCOLS = {
    "http": HTTP,
    "kubernetes.io/ws": HTTP,
    "http2": HTTP2,
    "grpc": HTTP2,
    "kubernetes.io/h2c": HTTP2,
    "https": TLS,
    "tls": TLS,
    "kubernetes.io/wss": TLS,
    "tcp": TCP,
}


class Name(NamedTuple):
    """A namespaced object of a kind that is known from where the name stands."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Reference(NamedTuple):
    """Any namespaced object."""

    kind: str
    namespace: str
    name: str


def name_of(found: Object) -> Name:
    """An object's namespace and name."""
    return Name(found["metadata"].get("namespace", ""), found["metadata"]["name"])


@dataclass(frozen=True)
class Port:
    """A port of a Service. `name` joins it with the ports of EndpointSlices, `target` with those of Pods."""

    name: str
    number: int
    protocol: str
    target: int | str  # a number, or the name of a container's port


@dataclass(frozen=True)
class Service:
    """A Service that has addresses of its own or, headless, names Pods."""

    name: Name
    addresses: tuple[str, ...]  # IPv4 cluster addresses; none where it is headless
    ports: tuple[Port, ...]
    selector: Mapping[str, str] = field(default_factory=dict)

    def selects(self, workload: Workload) -> bool:
        """Whether a Pod is one of this Service's."""
        return (
            bool(self.selector)
            and self.name.namespace == workload.name.namespace
            and self.selector.items() <= workload.labels.items()
        )

    def port(self, number: int) -> Port | None:
        """The port of this number."""
        return next((port for port in self.ports if port.number == number), None)


def protocol(port: Object) -> str:
    """A Service port's protocol by its appProtocol (KEP-1507), else by its name: `grpc`, `http-admin`.

    An appProtocol that is not known here is TCP to this mesh: it must not be taken for HTTP.
    """
    if declared := port.get("appProtocol"):
        return _PROTOCOLS.get(declared.lower(), TCP)
    return _PROTOCOLS.get(port.get("name", "").lower().partition("-")[0], AUTO)


def service(found: Object) -> Service:
    """A Service's record; of its ports those of TCP. An ExternalName has none: it is a name in DNS, and no more."""
    spec = found["spec"]
    if spec.get("type") == "ExternalName":
        return Service(name_of(found), (), ())
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "")]
    ports = [
        Port(port.get("name", ""), port["port"], protocol(port), port.get("targetPort") or port["port"])
        for port in spec.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]
    own = tuple(address for address in addresses if "." in address)
    return Service(name_of(found), own, tuple(ports), spec.get("selector") or {})


@dataclass(frozen=True)
class Endpoint:
    """One Pod, or other address, behind a Service."""

    address: str
    ready: bool
    serving: bool
    pod: Name | None
    terminating: bool = False


@dataclass(frozen=True)
class Slice:
    """An EndpointSlice: a part of what is behind a Service."""

    name: Name
    service: Name
    ports: Mapping[str, int]  # the port's name at the Service -> its number in the Pods
    endpoints: tuple[Endpoint, ...]


def endpoint_slice(found: Object) -> Slice:
    """An EndpointSlice's record; empty if it is of another address type than IPv4."""
    name = name_of(found)
    of = Name(name.namespace, (found["metadata"].get("labels") or {}).get("kubernetes.io/service-name", ""))
    if found.get("addressType") != "IPv4":
        return Slice(name, of, {}, ())
    ports = {
        port.get("name") or "": port["port"]
        for port in found.get("ports") or ()
        if port.get("port") and port.get("protocol", "TCP") == "TCP"
    }
    return Slice(name, of, ports, tuple(_endpoint(each, name) for each in found.get("endpoints") or ()))


def _endpoint(found: Object, slice_: Name) -> Endpoint:
    conditions, target = found.get("conditions") or {}, found.get("targetRef") or {}
    ready = conditions.get("ready") is not False  # not set means ready (KEP-752)
    serving = conditions.get("serving", ready) is not False
    of = (
        Name(target.get("namespace", slice_.namespace), target["name"])
        if target.get("kind") == "Pod"
        else None
    )
    ends = conditions.get("terminating") is True
    return Endpoint(found["addresses"][0], ready, serving, of, ends)


@dataclass(frozen=True)
class Workload:
    """A Pod with a proxy beside it."""

    name: Name
    address: str  # "" as long as it has none
    service_account: str
    capture: str  # one of names.CAPTURES, or names.GATEWAY_PROXY
    uncaptured: frozenset[int]  # ports that its annotation keeps from the proxy
    labels: Mapping[str, str] = field(default_factory=dict)
    named_ports: Mapping[str, int] = field(default_factory=dict)  # its containers'

    @property
    def identity(self) -> str:
        """Its SPIFFE ID."""
        return names.spiffe_id(self.name.namespace, self.service_account)

    def answers_mtls(self, port: int) -> bool:
        """Whether what comes to this port of the Pod comes to its proxy."""
        return self.capture == "redirect" and port not in self.uncaptured


def workload(found: Object) -> Workload | None:
    """A Pod's record; None without a proxy, and when it has ended."""
    metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    capture = (metadata.get("labels") or {}).get(names.PROXY)
    # A sidecar is an init container; the proxy of a Gateway is the Pod's own.
    of_gateway = capture == names.GATEWAY_PROXY
    among = spec["containers"] if of_gateway else spec.get("initContainers") or ()
    proxied = any(each["name"] == names.PROXY_CONTAINER for each in among)
    if (
        not capture
        or not proxied
        or not status.get("podIP")
        or status.get("phase") in ("Succeeded", "Failed")
    ):
        return None
    said = (metadata.get("annotations") or {}).get(names.EXCLUDE_INBOUND, "")
    uncaptured = frozenset(int(each) for each in said.split(",") if each.strip().isdecimal())
    account = spec.get("serviceAccountName") or "default"
    containers = [*spec["containers"], *(spec.get("initContainers") or ())]
    ports = (port for each in containers for port in each.get("ports") or () if port.get("name"))
    return Workload(
        name_of(found),
        status.get("podIP", ""),
        account,
        capture,
        uncaptured,
        metadata["labels"],
        {port["name"]: port["containerPort"] for port in ports},
    )


@dataclass(frozen=True)
class Backend:
    """Where a rule sends requests: a port of a Service (`kind` and `group` say if it is none)."""

    group: str
    kind: str
    name: Name
    port: int | None


def backend(found: Object, namespace: str) -> Backend:
    """A backendRef of a route in `namespace`."""
    name = Name(found.get("namespace") or namespace, found["name"])
    return Backend(found.get("group", ""), found.get("kind", "Service"), name, found.get("port"))


@dataclass(frozen=True)
class Parent:
    """What a route is attached to: a Service (GEP-1426), a Gateway (gateways.py), or what is no business of ours."""

    group: str
    kind: str
    name: Name
    port: int | None
    section: str | None

    @property
    def is_service(self) -> bool:
        """Whether it is a Service."""
        return self.group == "" and self.kind == "Service"


def parent(found: Object, namespace: str) -> Parent:
    """A parentRef of a route in `namespace`."""
    group = found.get("group", "gateway.networking.k8s.io")
    name = Name(found.get("namespace") or namespace, found["name"])
    return Parent(group, found.get("kind", "Gateway"), name, found.get("port"), found.get("sectionName"))


@dataclass(frozen=True)
class Route:
    """An HTTPRoute or a GRPCRoute."""

    kind: str
    name: Name
    created: str  # RFC 3339; the older route wins where two match alike
    generation: int
    parents: tuple[Parent, ...]
    rules: tuple[Object, ...]  # as in YAML
    hostnames: tuple[str, ...] = ()  # which mean something at a Gateway

    @property
    def reference(self) -> Reference:
        """Which object it is."""
        return Reference(self.kind, *self.name)

    def backends(self) -> list[Backend]:
        """All that its rules name, mirrors too."""
        found = [ref for rule in self.rules for ref in rule.get("backendRefs") or ()]
        filters = [each for rule in self.rules for each in rule.get("filters") or ()]
        filters += [each for ref in found for each in ref.get("filters") or ()]
        found += [each["requestMirror"]["backendRef"] for each in filters if each["type"] == "RequestMirror"]
        return [backend(ref, self.name.namespace) for ref in found]


def route(found: Object) -> Route:
    """A route's record."""
    metadata, spec, name = found["metadata"], found["spec"], name_of(found)
    parents = tuple(parent(each, name.namespace) for each in spec.get("parentRefs") or ())
    rules = tuple(spec.get("rules") or ())
    hosts = tuple(spec.get("hostnames") or ())
    made = metadata["creationTimestamp"]
    return Route(found["kind"], name, made, metadata["generation"], parents, rules, hosts)


@dataclass(frozen=True)
class PeerAuthentication:
    """Whether the Pods of a namespace answer only the mesh (STRICT), or anyone (PERMISSIVE)."""

    name: Name
    mode: str | None  # None: as the mesh's default is
    ports: Mapping[int, str]  # a Pod's port -> its own mode

    @property
    def reference(self) -> Reference:
        """Which object it is."""
        return Reference("PeerAuthentication", *self.name)


def peer_authentication(found: Object) -> PeerAuthentication:
    """A PeerAuthentication's record."""
    spec = found.get("spec") or {}
    ports = {each["port"]: each["mode"] for each in spec.get("ports") or ()}
    return PeerAuthentication(name_of(found), spec.get("mode"), ports)


@dataclass(frozen=True)
class Tracing:
    """Where proxies send their spans, and of how many of the requests that nobody else has decided on."""

    service: Name
    port: int
    percent: float


@dataclass(frozen=True)
class Settings:
    """What holds for the whole mesh: a MeshConfig, or its defaults."""

    mode: str = PERMISSIVE  # of namespaces that say nothing
    certificate_seconds: float = 3600.0
    egress: str = "Allow"  # of namespaces that say nothing
    telemetry: bool = True  # proxies tell the control plane of every request and connection
    tracing: Tracing | None = None

    @property
    def reporting(self) -> tuple[object, ...]:
        """What every proxy's listeners depend on."""
        return self.telemetry, self.tracing, self.egress


def settings(found: Object) -> Settings:
    """A MeshConfig's record; what it leaves out is as by default."""
    spec = found.get("spec") or {}
    lifetime = re.findall(r"(\d+)([hms])", spec.get("certificateLifetime", ""))
    seconds = sum(int(number) * {"h": 3600, "m": 60, "s": 1}[unit] for number, unit in lifetime)
    return Settings(
        spec.get("defaultMode", Settings.mode),
        float(seconds or Settings.certificate_seconds),
        spec.get("defaultEgress", Settings.egress),
        spec.get("telemetry", "Enabled") == "Enabled",
        _tracing(spec["tracing"]) if "tracing" in spec else None,
    )


def _tracing(found: Object) -> Tracing:
    """As in a MeshConfig: {"collector": "NAMESPACE/SERVICE:PORT", "samplePercent": …}."""
    place, _, port = found["collector"].rpartition(":")
    namespace, _, name = place.partition("/")
    return Tracing(Name(namespace, name), int(port), float(found.get("samplePercent", 10)))
