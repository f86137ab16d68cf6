"""What telemetry costs, whether its counts are exact, and how it holds with many edges. Without a cluster: lanes.py."""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from labsupport.cluster import process
from labsupport.cluster.meshbench import lanes
from labsupport.cluster.meshbench.figures import spread
from labsupport.console import phase
from labsupport.errors import LabsError
from labsupport.mesh.bench import lane as configuration
from labsupport.patience import patient

LANES = (
    "without",
    "again",
    "with",
)  # `again` is a second one without: what it differs by is the method's own error
PARTS = ("client", "server", "control")
ROUNDS, REQUESTS, CONNECTIONS = 15, 600, 4  # a round's requests in each lane
BLOCK = 4  # requests in a lane before it is another's turn
RATE = 200.0  # requests a second in each lane, where the machine can
PAIRS = 2  # all processes are started anew as often: where one lies in memory makes some percent
COUNTED, AT_ONCE = 100_000, 2_000  # requests that are counted one by one
SETTLE = patient(30.0)  # seconds for the last reports to come
REPORT = 1.5  # seconds; a proxy reports every one
EDGES = ("-m", "labsupport.mesh.bench.edges")


def measure(requests: int = COUNTED) -> dict[str, Any]:
    """{"cost": …, "exact": …, "edges": …}. Needs no cluster."""
    return {"cost": cost(), "exact": exact(requests), "edges": edges()}


def cost(pairs: int = PAIRS, rounds: int = ROUNDS, requests: int = REQUESTS) -> dict[str, Any]:
    """CPU a request with telemetry, as a share more than without, round by round.

    All lanes have the same load in the same seconds, so that what the machine does meanwhile meets all of them.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in LANES}
    with phase(f"telemetry on and off at {RATE:g} requests a second") as shown:
        for number in range(pairs):
            with lanes.running() as runner:
                made = {name: _lane(runner, name) for name in _turned(LANES, number)}
                for index in range(rounds):
                    shown.update(f"round {number * rounds + index + 1} of {pairs * rounds}{_sofar(found)}")
                    for name, spent in _round(made, requests).items():
                        found[name].append(spent)
    return {
        "share": shares(found, "with"),
        "error": shares(found, "again"),
        "rounds": pairs * rounds,
        "requests": requests,
        "load": round(os.getloadavg()[0], 2),
        "us": {
            name: {part: round(statistics.median(each[part] for each in found[name]), 1) for part in PARTS}
            for name in LANES
        },
    }


def _turned(names: Sequence[str], by: int) -> list[str]:
    return [*names] if by % 2 == 0 else [*reversed(names)]


def _lane(runner: lanes.Runner, name: str) -> tuple[lanes.Lane, lanes.Connections]:
    reports = name == "with"
    lane = runner.lane(configuration.model(telemetry=reports), reports=reports)
    connections = lanes.Connections(lane, CONNECTIONS)
    connections.send(100)
    return lane, connections


def _round(
    made: dict[str, tuple[lanes.Lane, lanes.Connections]], requests: int
) -> dict[str, dict[str, float]]:
    """Microseconds of CPU a request, by lane and part. Whose turn is first is by chance."""
    before = {name: lane.cpu() for name, (lane, _) in made.items()}
    begins = time.monotonic()
    for sent in range(0, requests, BLOCK):
        for name in random.sample([*made], len(made)):
            made[name][1].send(BLOCK // CONNECTIONS)
        time.sleep(max(0.0, begins + (sent + BLOCK) / RATE - time.monotonic()))
    return {
        name: {part: 1e6 * (now - before[name][part]) / requests for part, now in lane.cpu().items()}
        for name, (lane, _) in made.items()
    }


def _ratios(found: dict[str, list[dict[str, float]]], name: str) -> list[float]:
    pairs = zip(found[name], found["without"], strict=True)
    return [sum(one.values()) / sum(other.values()) - 1 for one, other in pairs]


def shares(found: dict[str, list[dict[str, float]]], name: str) -> dict[str, float]:
    """How much more CPU a lane's requests took than those without, round by round: the median and the spread."""
    ratios = _ratios(found, name)
    return {"median": round(statistics.median(ratios), 4), **spread(ratios)}


def _sofar(found: dict[str, list[dict[str, float]]]) -> str:
    ratios = _ratios(found, "with")
    return f", {statistics.median(ratios):+.1%} so far" if ratios else ""


def exact(requests: int = COUNTED) -> dict[str, Any]:
    """Requests that were sent over two real proxies, and by how many the count has grown."""
    with (
        phase(f"{requests:,} requests, each of which must be counted once") as shown,
        lanes.running() as runner,
    ):
        lane = runner.lane(configuration.model(telemetry=True), reports=True)
        connections = lanes.Connections(lane, CONNECTIONS)
        while lane.sent < requests:
            connections.send(min(AT_ONCE, requests - lane.sent) // CONNECTIONS)
            shown.update(f"{lane.sent:,} are sent")
        until = time.monotonic() + SETTLE
        while (found := _counted(lane)) < lane.sent and time.monotonic() < until:
            shown.update(f"{found:,} of {lane.sent:,} are counted")
            time.sleep(0.2)
        time.sleep(REPORT)  # none too many, either
        return {"sent": lane.sent, "counted": _counted(lane), "lost": lane.counted()["lost"]}


def _counted(lane: lanes.Lane) -> int:
    return sum(lane.counted()["edges"].values())


def edges() -> dict[str, Any]:
    """A control plane with 1,000 edges: mesh/bench/edges.py, in a process of its own."""
    with phase("a control plane with 1,000 edges that report 5,000 requests a second"):
        done = process.run([sys.executable, *EDGES], timeout=patient(120.0))
        if not done.ok:
            raise LabsError(f"the control plane of the measurement failed: {done.reason()}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found
