"""What telemetry costs, whether its counts are exact, and how it holds with many edges.

Rounds in turn, with and without, so that what the machine does meanwhile meets both. A MeshConfig is the switch.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.cluster.meshbench.figures import spread
from labsupport.cluster.meshbench.place import MESH, PLAIN, Place, url
from labsupport.console import phase
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.mesh import names
from labsupport.mesh.admin import look
from labsupport.patience import patient

RATE, SECONDS, CONNECTIONS, ROUNDS = 200.0, 10.0, 4, 6
REQUESTS, FAST, PATHS = 100_000, 500.0, 16  # requests that are counted one by one, a second, connections
AT_ONCE = 5_000  # of them, sent by one client
SETTLE = patient(30.0)  # seconds for proxies to have a change, and for the last reports to come
REPORT = 1.5  # seconds; a proxy reports every one
EDGES = ("python3", "-m", "labsupport.mesh.bench.edges")


@dataclass(frozen=True)
class Round:
    """One round's CPU in microseconds a request: of both Envoys, and of the control plane."""

    envoys_us: float
    control_us: float

    @property
    def all_us(self) -> float:
        """Together."""
        return self.envoys_us + self.control_us


def measure(place: Place, rounds: int = ROUNDS, requests: int = REQUESTS) -> dict[str, Any]:
    """{"cost": …, "exact": …, "edges": …}."""
    try:
        return {"cost": cost(place, rounds), "exact": exact(place, requests), "edges": edges(place)}
    finally:
        switch(place, on=True)


def cost(place: Place, rounds: int = ROUNDS) -> dict[str, Any]:
    """CPU a request with telemetry as a share more than without, round by round."""
    found: dict[bool, list[Round]] = {True: [], False: []}
    failed = 0
    with phase(f"telemetry on and off at {RATE:g} requests a second") as shown:
        for index in range(rounds):
            for on in (True, False) if index % 2 else (False, True):
                shown.update(f"round {index + 1} of {rounds}, {'with' if on else 'without'}")
                switch(place, on=on)
                place.steady(MESH, url(MESH), RATE, 3, CONNECTIONS)
                envoys, control = _envoys(place), control_cpu(place)
                said = place.steady(MESH, url(MESH), RATE, SECONDS, CONNECTIONS)
                time.sleep(REPORT)  # the last report is part of the cost
                spent = _envoys(place) - envoys, control_cpu(place) - control
                failed += said["failed"]
                found[on].append(Round(*(1e6 * each / max(1, said["ok"]) for each in spent)))
    pairs = list(zip(found[True], found[False], strict=True))
    shares = [(on.all_us - off.all_us) / off.all_us for on, off in pairs]
    return {
        "share": {"median": round(statistics.median(shares), 4), **spread(shares)},
        "failed": failed,
        "with": _round(found[True]),
        "without": _round(found[False]),
    }


def _round(found: list[Round]) -> dict[str, Any]:
    return {what: spread([getattr(each, what) for each in found]) for what in ("envoys_us", "control_us")}


def switch(place: Place, *, on: bool) -> None:
    """Let proxies report, or not; returns once all have that. Errors: LabsError where they do not."""
    config = {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "MeshConfig",
        "metadata": {"name": "mesh"},
        "spec": {"telemetry": "Enabled" if on else "Disabled"},
    }
    kube.apply(place.api, [config], namespace=names.SYSTEM)
    until = time.monotonic() + SETTLE
    while not all(_reports(place, app) == on for app in ("client", "server")):
        if time.monotonic() > until:
            raise LabsError("the proxies do not take up the MeshConfig", fix="labs mesh proxies says why")
        time.sleep(0.2)
    time.sleep(5.5)  # connections of before are drained for 5 s (mesh/proxy/__main__.py)


def _reports(place: Place, app: str) -> bool:
    dump = look.admin(
        place.api, MESH, place.pod(MESH, app), "/config_dump?resource=dynamic_listeners&mask=active_state"
    )
    return "HttpGrpcAccessLogConfig" in dump


def _envoys(place: Place) -> float:
    return sum(place.envoy_cpu(MESH, app) for app in ("client", "server"))


def control_cpu(place: Place) -> float:
    """CPU seconds that the control plane has used."""
    said = _in_control(place, ["sh", "-c", "cat /proc/1/task/*/schedstat"])
    return sum(int(line.split()[0]) for line in said.splitlines() if line) / 1e9


def _in_control(place: Place, command: list[str]) -> str:
    found = kube.list_objects(place.api, "v1", "Pod", names.SYSTEM, labels=f"{names.GROUP}/part=control")
    pod = next(each["metadata"]["name"] for each in found if "deletionTimestamp" not in each["metadata"])
    return execute(place.api, names.SYSTEM, pod, command, container="control", timeout=30)


def counted(place: Place) -> int:
    """The requests to the server that the control plane has counted, by whoever reported them."""
    said = _in_control(place, ["curl", "-sS", f"http://127.0.0.1:{names.METRICS}/metrics"])
    lines = [each for each in said.splitlines() if each.startswith("mesh_requests_total{")]
    wanted = f'service="{MESH}/server/80"'
    return sum(int(each.rpartition(" ")[2]) for each in lines if wanted in each)


def exact(place: Place, requests: int = REQUESTS) -> dict[str, Any]:
    """Requests that were sent, and by how many the count has grown."""
    switch(place, on=True)
    with phase(f"{requests:,} requests, each of which must be counted once") as shown:
        time.sleep(REPORT)
        before = counted(place)
        sent = failed = 0
        while sent < requests:
            said = place.steady(MESH, url(MESH), FAST, min(AT_ONCE, requests - sent) / FAST, PATHS)
            sent, failed = sent + said["ok"] + said["failed"], failed + said["failed"]
            shown.update(f"{sent:,} are sent")
        until = time.monotonic() + SETTLE
        while (grown := counted(place) - before) < sent and time.monotonic() < until:
            shown.update(f"{grown:,} of {sent:,} are counted")
            time.sleep(0.5)
        time.sleep(REPORT)  # none too many, either
        return {"sent": sent, "failed": failed, "counted": counted(place) - before}


def edges(place: Place) -> dict[str, Any]:
    """A control plane with 1,000 edges: mesh/bench/edges.py, in a Pod of its image."""
    with phase("a control plane with 1,000 edges that report 5,000 requests a second"):
        said = execute(place.api, PLAIN, place.pod(PLAIN, "client"), EDGES, container="client", timeout=120)
        found: dict[str, Any] = json.loads(said)
        return found
