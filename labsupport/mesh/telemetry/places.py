"""Where a proxy's report belongs, by what the model knows of addresses, Services and Pods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.api import Name, Service, Workload
from labsupport.mesh.model import Model
from labsupport.mesh.telemetry.counts import OUTSIDE, UNKNOWN

_PREFIX = f"spiffe://{names.TRUST_DOMAIN}/ns/"


@dataclass(frozen=True)
class Reporter:
    """A proxy: the Pod and the ServiceAccount that its certificate names."""

    pod: Name
    account: str

    @property
    def id(self) -> str:
        """Of its node in the topology."""
        return f"{self.pod.namespace}/{self.account}"


def id_of(uri: str) -> str:
    """The node that a SPIFFE ID belongs to."""
    namespace, found, account = uri.removeprefix(_PREFIX).partition("/sa/")
    return f"{namespace}/{account}" if found and uri.startswith(_PREFIX) else UNKNOWN


def workload_id(workload: Workload) -> str:
    """The node that a Pod belongs to."""
    return f"{workload.name.namespace}/{workload.service_account}"


@dataclass
class Places:
    """Looks things up in one model; what is found is kept."""

    model: Model
    _addresses: dict[str, Workload] = field(default_factory=dict)
    _services: dict[str, Name] = field(default_factory=dict)
    _called: dict[tuple[Reporter, str], str] = field(default_factory=dict)
    _behind: dict[Name, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._addresses = {each.address: each for each in self.model.workloads.values()}
        self._services = {
            address: each.name for each in self.model.services.values() for address in each.addresses
        }

    def called(self, reporter: Reporter, sni: str) -> str:
        """The Service that a client says it has called ("NAMESPACE/NAME/PORT"), or "".

        What the client says counts only where the Pod that it came to is one of the Service's.
        """
        key = reporter, sni
        found = self._called.get(key, "")
        if not found and (found := self._read(reporter, sni)):
            self._called[key] = found  # only what is so: of what could be claimed there is no end
        return found

    def _read(self, reporter: Reporter, sni: str) -> str:
        port, _, rest = sni.partition(".")
        name, _, namespace = rest.partition(".")
        service = self.model.services.get(Name(namespace, name))
        if service is None or not port.isdecimal() or service.port(int(port)) is None:
            return ""
        workload = self.model.workloads.get(reporter.pod)
        behind = service.name in self.model.services_of[reporter.pod]
        selected = workload is not None and service.selects(workload)
        return f"{service.name}/{port}" if behind or selected else ""

    def is_gateway(self, reporter: Reporter) -> bool:
        """Whether a proxy is one of a Gateway: who calls it without a certificate is from outside of the mesh."""
        workload = self.model.workloads.get(reporter.pod)
        return workload is not None and workload.capture == names.GATEWAY_PROXY

    def has_proxy(self, address: str) -> bool:
        """Whether an address is that of a Pod whose proxy tells of what goes out from it."""
        workload = self._addresses.get(address)
        return workload is not None and workload.capture != names.GATEWAY_PROXY

    def proxied(self, address: str, port: int) -> bool:
        """Whether a proxy answers there."""
        workload = self._addresses.get(address)
        return workload is not None and workload.answers_mtls(port)

    def target(self, cluster: str, upstream: str, local: str, port: int) -> tuple[str, str]:
        """Whom a call that only its source tells of was for, and by which Service.

        `cluster`: of Envoy; `upstream`: the address that was chosen, or ""; `local`, `port`: where the application
        thought it was calling.
        """
        service = self._by_cluster(cluster) or self._by_address(local, port)
        workload = self._addresses.get(upstream or local)
        if workload is not None:
            return workload_id(workload), service
        namespace, _, name = service.rpartition("/")[0].partition("/")
        return (self.behind(Name(namespace, name)) if service else OUTSIDE), service

    def _by_cluster(self, cluster: str) -> str:
        namespace, _, rest = cluster.removesuffix("/tcp").partition("/")
        name, _, port = rest.partition("/")
        return f"{namespace}/{name}/{port}" if port and Name(namespace, name) in self.model.services else ""

    def _by_address(self, address: str, port: int) -> str:
        name = self._services.get(address)
        return f"{name}/{port}" if name else ""

    def behind(self, name: Name) -> str:
        """The node behind a Service: of its Pods in the mesh; OUTSIDE where there are others only; else UNKNOWN."""
        found = self._behind.get(name)
        if found is None:
            found = self._behind[name] = self._node(self.model.services[name])
        return found

    def _node(self, service: Service) -> str:
        in_place = self.model.services_in[service.name.namespace]
        pods = [pod for pod, of in self.model.services_of.entries.items() if service.name in of]
        workloads: list[Any] = [self.model.workloads.get(pod) for pod in sorted(pods)]
        selected = [
            each
            for each in self.model.workloads.values()
            if service.name in in_place and service.selects(each)
        ]
        for each in (*workloads, *sorted(selected, key=lambda workload: workload.name)):
            if each is not None:
                return workload_id(each)
        slices = self.model.slices_of[service.name]
        return OUTSIDE if any(self.model.slices[each].endpoints for each in slices) else UNKNOWN
