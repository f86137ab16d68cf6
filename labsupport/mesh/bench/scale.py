"""How the control plane's work grows with Services and proxies: `python3 -m labsupport.mesh.bench.scale [--quick]`.

A whole control plane but for Kubernetes: objects are given to it as a watch would tell of them, and simulated proxies
(clients.py) follow it over gRPC on loopback, without TLS. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.api import Name, Object
from labsupport.mesh.control import Control
from labsupport.mesh.serve import ads
from labsupport.mesh.serve.hub import Hub, Proxy

SIZES = ((10, 10), (100, 10), (1000, 10), (100, 50), (100, 200))  # Services and proxies
QUICK = ((10, 2), (100, 2))
CHANGES = 40  # of each kind
PODS = 2  # behind each Service
SYNC_TIMEOUT = 120.0  # seconds


@dataclass(frozen=True)
class Size:
    """One size of mesh. Times are from a change to the last proxy's acknowledgement, CPU is the control plane's."""

    services: int
    proxies: int
    translate_s: float  # everything, once, before any proxy comes
    sync_s: float  # until all proxies have everything
    sync_cpu_s: float
    endpoint_p50_ms: float
    endpoint_p99_ms: float
    endpoint_cpu_ms: float
    route_p50_ms: float
    route_p99_ms: float
    route_cpu_ms: float


def service(index: int) -> list[Object]:
    """A Service, its EndpointSlice and Pods, and a route, as the API server shows them."""
    name, pods = f"service-{index}", [f"service-{index}-{pod}" for pod in range(PODS)]
    address = f"10.{96 + index // 60000}.{index // 250 % 240}.{index % 250 + 1}"
    spec = {"clusterIP": address, "clusterIPs": [address], "selector": {"app": name}}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    found: list[Object] = [
        _object("Service", name, spec={**spec, "ports": ports}),
        endpoints(index, range(PODS)),
    ]
    for number, pod in enumerate(pods):
        containers = {"containers": [{"name": "app"}], "initContainers": [{"name": names.PROXY_CONTAINER}]}
        made = _object("Pod", pod, spec={"serviceAccountName": name, **containers})
        made["metadata"]["labels"] = {"app": name, names.PROXY: "redirect"}
        made["status"] = {"podIP": pod_address(index, number), "phase": "Running"}
        found.append(made)
    return [*found, route(index, 1)]


def pod_address(index: int, number: int) -> str:
    """The address of a Service's Pod."""
    return f"10.244.{index // 120}.{index % 120 * 2 + number + 1}"


def endpoints(index: int, numbers: Any) -> Object:
    """The EndpointSlice of a Service with these of its Pods."""
    name = f"service-{index}"
    entries = [
        {
            "addresses": [pod_address(index, number)],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": f"{name}-{number}", "namespace": "load"},
        }
        for number in numbers
    ]
    found = _object("EndpointSlice", name, addressType="IPv4", endpoints=entries)
    found["ports"] = [{"name": "http", "port": 8080}]
    found["metadata"]["labels"] = {"kubernetes.io/service-name": name}
    return found


def route(index: int, version: int) -> Object:
    """An HTTPRoute of a Service that sets a header to `version`."""
    name = f"service-{index}"
    header = {"set": [{"name": "x-version", "value": str(version)}]}
    rule = {
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": header}],
        "backendRefs": [{"name": name, "port": 80}],
    }
    parents = [{"group": "", "kind": "Service", "name": name}]
    return _object("HTTPRoute", name, spec={"parentRefs": parents, "rules": [rule]})


def _object(kind: str, name: str, **fields: Any) -> Object:
    metadata = {
        "name": name,
        "namespace": "load",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return {"kind": kind, "metadata": metadata, **fields}


async def measure(services: int, proxies: int, changes: int = CHANGES) -> Size:
    """One size."""
    control = Control(asyncio.get_running_loop(), lambda references: None)
    control.trust("-----BEGIN CERTIFICATE-----\n")
    for index in range(services):
        for each in service(index):
            control.change(each, False)
    began = time.perf_counter()
    control.begin()
    translated = time.perf_counter() - began
    discovery, port = ads.server(control.hub, _caller, "127.0.0.1:0", None)
    await discovery.start()
    command = [sys.executable, "-m", "labsupport.mesh.bench.clients", str(port), str(proxies)]
    began, cpu = time.perf_counter(), time.process_time()
    clients = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
    try:
        await _until(lambda: len(control.hub.proxies) == proxies and _synced(control, services))
        synced, synced_cpu = time.perf_counter() - began, time.process_time() - cpu
        # Each time another than before: one of the two Pods goes, and in the next round comes back.
        one_pod = [endpoints(n % services, range(1 + n // services % 2)) for n in range(changes)]
        endpoint = await _changes(control, one_pod)
        routed = await _changes(control, [route(index % services, index + 2) for index in range(changes)])
    finally:
        assert clients.stdin is not None  # noqa: S101 (it was asked for)
        clients.stdin.close()
        await clients.wait()
        await discovery.stop(None)
    return Size(
        services, proxies, round(translated, 3), round(synced, 3), round(synced_cpu, 3), *endpoint, *routed
    )


def _caller(context: Any) -> Name:
    """Who a simulated proxy says it is."""
    pod = dict(context.invocation_metadata())["pod"]
    return Name(*pod.split("/"))


def _synced(control: Control, services: int) -> bool:
    """Whether every proxy has everything: its subscriptions too must have come."""
    kinds = (each.session.types for each in control.hub.proxies)
    return all(len(each.has) >= services for types in kinds for each in [*types.values()][:4]) and all(
        each.session.synced for each in control.hub.proxies
    )


class Answers:
    """Notices when every proxy has acknowledged a change, without looking at all of them again and again."""

    def __init__(self, hub: Hub) -> None:
        self.all = asyncio.Event()
        self._missing = set(hub.proxies)
        receive = Hub.receive.__get__(hub)

        def received(proxy: Proxy, request: Any) -> None:
            receive(proxy, request)
            if proxy.session.synced:
                self._missing.discard(proxy)
                if not self._missing:
                    self.all.set()

        hub.receive = received  # type: ignore[method-assign]


async def _changes(control: Control, objects: list[Object]) -> tuple[float, float, float]:
    """p50 and p99 of the time until all proxies have a change, and CPU for one, in ms."""
    times = []
    cpu = time.process_time()
    for each in objects:
        answers = Answers(control.hub)
        began = time.perf_counter()
        control.change(each, False)
        await asyncio.wait_for(answers.all.wait(), SYNC_TIMEOUT)
        times.append(1000 * (time.perf_counter() - began))
    spent = 1000 * (time.process_time() - cpu) / len(objects)
    ordered = sorted(times)
    return (
        round(statistics.median(ordered), 2),
        round(ordered[math.ceil(0.99 * len(ordered)) - 1], 2),
        round(spent, 2),
    )


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for the first configuration, which nothing tells the end of."""
    ends = time.monotonic() + SYNC_TIMEOUT
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"not all proxies have everything after {SYNC_TIMEOUT:.0f} s")
        await asyncio.sleep(0.02)


def slope(points: list[tuple[float, float]]) -> float:
    """The exponent by which the second value grows with the first: the slope of a line through their logarithms."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    return round(statistics.linear_regression([x for x, _ in logs], [y for _, y in logs]).slope, 2)


def main() -> int:
    """Measure all sizes and print what was found."""
    sizes = QUICK if "--quick" in sys.argv[1:] else SIZES
    found = [asyncio.run(measure(*size)) for size in sizes]
    few = [each for each in found if each.proxies == found[0].proxies]
    growth = {
        f"{kind}_cpu_by_services": slope([(each.services, getattr(each, f"{kind}_cpu_ms")) for each in few])
        for kind in ("endpoint", "route")
    }
    many = [each for each in found if each.services == 100]
    if len(many) > 1:
        growth |= {
            f"{kind}_cpu_by_proxies": slope(
                [(each.proxies, getattr(each, f"{kind}_cpu_ms")) for each in many]
            )
            for kind in ("endpoint", "route")
        }
    print(json.dumps({"scale": [asdict(each) for each in found], "slopes": growth}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
