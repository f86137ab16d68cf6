"""What telemetry costs the control plane with many edges: `python3 -m labsupport.mesh.bench.edges [--quick]`.

A control plane without Kubernetes as in scale.py, and simulated proxies that report (reporters.py), over gRPC on
loopback without TLS. Prints one JSON document.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from labsupport.mesh import look
from labsupport.mesh.api import Name
from labsupport.mesh.bench import scale
from labsupport.mesh.control import Control
from labsupport.mesh.telemetry import collect
from labsupport.mesh.telemetry.places import Reporter

PROXIES, CALLERS, COUNT, SECONDS = 100, 10, 50, 20  # 1,000 edges, 5,000 requests a second
QUICK = (20, 5, 10, 2)
PAUSE = 0.005  # seconds; how late the event loop comes back from such a pause is how long others wait for it


@dataclass(frozen=True)
class Edges:
    """What came of it. `requests` were sent, `counted` were counted; CPU is the control plane's."""

    edges: int
    requests: int
    counted: int
    lost: int
    cpu_us: float  # a request
    rss_mb: float  # that it grew by
    topology_ms: float
    metrics_ms: float
    late_p50_ms: float  # of the event loop
    late_p99_ms: float


def _reporter(context: Any) -> Reporter:
    """Who a simulated proxy says it is."""
    said = dict(context.invocation_metadata())
    return Reporter(Name(*said["pod"].split("/")), said["account"])


async def _late(found: list[float]) -> None:
    while True:
        due = time.perf_counter() + PAUSE
        await asyncio.sleep(PAUSE)
        found.append(1000 * (time.perf_counter() - due))


def _rss_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


async def measure(proxies: int, callers: int, count: int, seconds: int) -> Edges:
    """Let them report for so many seconds."""
    control = Control(asyncio.get_running_loop(), lambda references: None)
    for index in range(proxies):
        for each in scale.service(index):
            control.change(each, False)
    server = grpc.aio.server()
    collect.serve(server, control.telemetry, _reporter)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    words = [str(each) for each in (port, proxies, callers, count, seconds)]
    command = [sys.executable, "-m", "labsupport.mesh.bench.reporters", *words]
    memory, cpu, late = _rss_mb(), time.process_time(), list[float]()
    waking = asyncio.create_task(_late(late))
    sending = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    sent = int((await sending.communicate())[0])
    waking.cancel()
    spent = time.process_time() - cpu
    ledger = control.telemetry.ledger
    began = time.perf_counter()
    graph = json.dumps(look.graph(control, set(), 60))
    drawn = time.perf_counter()
    look.metrics(control)
    told = time.perf_counter()
    await server.stop(None)
    late.sort()
    return Edges(
        edges=len(json.loads(graph)["edges"]),
        requests=sent,
        counted=sum(history.total.requests for history in ledger.edges.values()),
        lost=ledger.lost,
        cpu_us=round(1e6 * spent / sent, 2),
        rss_mb=round(_rss_mb() - memory, 1),
        topology_ms=round(1000 * (drawn - began), 1),
        metrics_ms=round(1000 * (told - drawn), 1),
        late_p50_ms=round(late[len(late) // 2], 2),
        late_p99_ms=round(late[math.ceil(0.99 * len(late)) - 1], 2),
    )


def main() -> int:
    """Measure, and print what was found."""
    sizes = QUICK if "--quick" in sys.argv[1:] else (PROXIES, CALLERS, COUNT, SECONDS)
    print(json.dumps(asdict(asyncio.run(measure(*sizes)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
