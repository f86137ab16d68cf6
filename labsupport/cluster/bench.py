"""Measure clusters: times of up, restart, down and ready Pods, memory and CPU when idle.

On a cluster of its own, in a state directory of its own that is removed at the end; the learner's is not touched.
The caches are warm: one run before the counted ones fills them.
"""

from __future__ import annotations

import copy
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport import paths
from labsupport.console import phase
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.cluster.interface import Cluster

NAME = "bench"
MANIFEST = paths.CLUSTERS / "manifests/bench/pod.yaml"
LABELS = "labs.example/part-of=bench"
PODS = "/api/v1/namespaces/default/pods"
COUNT = 20  # Pods, one after another and then at once
POD_SECONDS = 60.0  # after which a Pod that is not Ready ends the measurement
SETTLE_SECONDS = (
    15.0  # from the last Pod's end: garbage collections and resyncs are part of the end, not of idling
)
IDLE_SECONDS = 30.0


@dataclass(frozen=True)
class Result:
    """What was measured: seconds, MB (2^20 bytes) and percent of one core, in the order of measurement."""

    backend: str
    up_s: tuple[float, ...]
    restart_s: tuple[float, ...]
    down_s: tuple[float, ...]
    pod_ready_s: tuple[float, ...]
    together_s: tuple[float, ...]  # each Pod of a batch, from the batch's first request
    pss_mb: float
    idle_cpu_percent: float
    machine: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs bench cluster --json`)."""
        return {
            "backends": {
                self.backend: {
                    "up_s": _rounded(self.up_s),
                    "restart_s": _rounded(self.restart_s),
                    "down_s": _rounded(self.down_s),
                    "pod_ready_s": {**spread(self.pod_ready_s), "count": len(self.pod_ready_s)},
                    "pods_at_once_s": {
                        "p50": spread(self.together_s)["p50"],
                        "all": round(max(self.together_s), 3),
                        "count": len(self.together_s),
                    },
                    "pss_mb": round(self.pss_mb, 1),
                    "idle_cpu_percent": round(self.idle_cpu_percent, 2),
                }
            },
            "machine": self.machine,
        }


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and 90th percentile (interpolated between the nearest ranks)."""
    if len(values) == 1:
        return {"p50": round(values[0], 3), "p90": round(values[0], 3)}
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return {"p50": round(tenths[4], 3), "p90": round(tenths[8], 3)}


def as_dict(results: Sequence[Result]) -> dict[str, Any]:
    """The JSON form of several back ends."""
    backends: dict[str, Any] = {}
    for result in results:
        backends |= result.as_dict()["backends"]
    return {"backends": backends, "machine": results[0].machine if results else {}}


def describe(results: Sequence[Result]) -> str:
    """The results as a person reads them: a column for each back end, medians with their spread."""
    machine = results[0].machine
    load = ", ".join(f"{value:.1f}" for value in machine.get("load_before", ()))

    def spreads(values: Sequence[float]) -> str:
        return f"{statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"

    def row(what: str, cell: Callable[[Result], str]) -> str:
        return "  ".join([f"{what:34}", *(f"{cell(result):26}" for result in results)]).rstrip()

    one = results[0]
    return "\n".join(
        [
            f"{machine.get('processors')} processors, Linux {machine.get('kernel')}, "
            f"{'root' if machine.get('root') else 'ordinary user'}, load before: {load}",
            f"Medians of {len(one.up_s)} runs, with least and greatest.",
            "",
            row("", lambda result: result.backend.upper()),
            row("up, until all is ready", lambda result: spreads(result.up_s)),
            row("restart of a stopped cluster", lambda result: spreads(result.restart_s)),
            row("down", lambda result: spreads(result.down_s)),
            row("Pod to Ready, one after another", lambda result: spreads(result.pod_ready_s)),
            row("  its 90th percentile", lambda result: f"{spread(result.pod_ready_s)['p90']:.2f} s"),
            row(
                f"{len(one.together_s)} Pods at once, all Ready",
                lambda result: f"{max(result.together_s):.2f} s",
            ),
            row("memory when idle (PSS)", lambda result: f"{result.pss_mb:.0f} MB"),
            row(
                f"CPU when idle, over {IDLE_SECONDS:.0f} s",
                lambda result: f"{result.idle_cpu_percent:.1f} % of a core",
            ),
        ]
    )


def can_run(backend: str) -> bool:
    """Whether a back end can be measured here without installing anything."""
    from labsupport.cluster import doctor

    return doctor.healthy(doctor.examine(NAME, backend))


def measure(runs: int, backends: Sequence[str] = ("embedded",)) -> list[Result]:
    """Make, restart and end a cluster of each back end `runs` times, in turns, and measure one of each.

    In turns, so that what else the machine does meets all of them alike. Takes about 2 minutes for 5 runs of an
    embedded cluster and 7 for those of kind.
    """
    from labsupport.cluster import get

    machine = {
        "processors": os.cpu_count(),
        "kernel": platform.release(),
        "root": os.geteuid() == 0,
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }
    times: dict[str, dict[str, list[float]]] = {
        each: {"up": [], "restart": [], "down": []} for each in backends
    }
    running: dict[str, tuple[list[float], list[float], float, float]] = {}
    with own_state():
        for number in range(runs + 1):
            for backend in backends:
                cluster = get(NAME, backend)
                try:
                    if number == 0:
                        with phase(f"{backend}: filling the caches (not counted)"):
                            cluster.up()
                        continue
                    with phase(f"{backend}: run {number} of {runs}"):
                        times[backend]["up"].append(timed(cluster.up))
                        cluster.down(keep=True)
                        times[backend]["restart"].append(timed(cluster.up))
                        if number == runs:
                            running[backend] = _measure_running(cluster)
                        times[backend]["down"].append(timed(cluster.down))
                finally:
                    cluster.down()
    return [
        Result(
            backend=backend,
            up_s=tuple(times[backend]["up"]),
            restart_s=tuple(times[backend]["restart"]),
            down_s=tuple(times[backend]["down"]),
            pod_ready_s=tuple(running[backend][0]),
            together_s=tuple(running[backend][1]),
            pss_mb=running[backend][2],
            idle_cpu_percent=running[backend][3],
            machine=machine,
        )
        for backend in backends
    ]


@contextmanager
def own_state() -> Iterator[Path]:
    """A state directory of our own, beside the usual one: on the same file system, and never the learner's."""
    parent = paths.state_location().parent
    parent.mkdir(parents=True, exist_ok=True)
    before = os.environ.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory(dir=parent, prefix="labs-bench-") as name:
        os.environ["XDG_STATE_HOME"] = name
        try:
            yield Path(name)
        finally:
            if before is None:
                del os.environ["XDG_STATE_HOME"]
            else:
                os.environ["XDG_STATE_HOME"] = before


def timed(act: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def _measure_running(cluster: Cluster) -> tuple[list[float], list[float], float, float]:
    """Times of Pods one after another and at once, then memory and CPU when idle."""
    from labsupport import kube

    api = kube.connect(cluster.kubeconfig)
    (template,) = kube.load(MANIFEST)
    with watching(api) as watcher:
        with phase(f"{COUNT} Pods, one after another") as progress:
            alone = []
            for number in range(COUNT):
                progress.update(f"{number + 1} of {COUNT}")
                name = f"one-{number}"
                began = create(api, template, name)
                alone.append(watcher.ready_at(name) - began)
        remove(api, template, [f"one-{number}" for number in range(COUNT)])
        with phase(f"{COUNT} Pods at once"):
            names = [f"batch-{number}" for number in range(COUNT)]
            sent = [create(api, template, name) for name in names]
            together = [watcher.ready_at(name) - sent[0] for name in names]
        remove(api, template, names)
    with phase(f"Idle for {IDLE_SECONDS:.0f} s"):
        time.sleep(SETTLE_SECONDS)
        pss, cpu = idle(cluster)
    return alone, together, pss, cpu


def create(api: ApiClient, template: dict[str, Any], name: str) -> float:
    """Create one Pod; the time at which the request was sent."""
    from labsupport import kube

    pod = copy.deepcopy(template)
    pod["metadata"]["name"] = name
    began = time.monotonic()
    kube.request(api, "POST", PODS, body=pod)
    return began


def remove(api: ApiClient, template: dict[str, Any], names: Sequence[str]) -> None:
    """Delete Pods of these names and wait until they are gone."""
    from labsupport import kube

    pods = []
    for name in names:
        pods.append(copy.deepcopy(template))
        pods[-1]["metadata"]["name"] = name
    kube.delete(api, pods)


class Watcher:
    """Notes when each Pod was first seen Ready, by the clock of this process."""

    def __init__(self) -> None:
        self._ready: dict[str, float] = {}
        self._changed = threading.Condition()
        self._broken = ""

    def see(self, event: dict[str, Any]) -> None:
        """Take in one watch event."""
        pod = event.get("object", {})
        conditions = pod.get("status", {}).get("conditions", [])
        if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
            with self._changed:
                self._ready.setdefault(pod["metadata"]["name"], time.monotonic())
                self._changed.notify_all()

    def end(self, reason: str) -> None:
        """No event will come any more."""
        with self._changed:
            self._broken = reason
            self._changed.notify_all()

    def ready_at(self, name: str) -> float:
        """When that Pod became Ready, waiting for it. LabsError if it does not."""
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._ready or self._broken, POD_SECONDS):
                raise LabsError(f"Pod {name} was not Ready after {POD_SECONDS:.0f} s.", fix="labs doctor")
            if name not in self._ready:
                raise LabsError(f"The watch of Pods ended: {self._broken}", fix="run it again")
            return self._ready[name]


@contextmanager
def watching(api: ApiClient) -> Iterator[Watcher]:
    """A watch of the measured Pods on a thread of its own, so that reading it delays nothing."""
    from labsupport import kube
    from labsupport.kube.client import stream

    watcher = Watcher()
    stop = threading.Event()
    version = kube.request(api, "GET", PODS, query={"labelSelector": LABELS})["metadata"]["resourceVersion"]

    def follow() -> None:
        query = {
            "watch": "true",
            "labelSelector": LABELS,
            "resourceVersion": version,
            "timeoutSeconds": "600",
        }
        try:
            for event in stream(api, PODS, query=query, timeout=POD_SECONDS):
                watcher.see(event)
                if stop.is_set():
                    return
            watcher.end("the server closed it")
        except LabsError as error:
            watcher.end(error.what)

    # A daemon: it may sit in a read when the last Pod is gone, and the cluster's end closes its connection.
    threading.Thread(target=follow, daemon=True, name="watch").start()
    try:
        yield watcher
    finally:
        stop.set()


def idle(cluster: Cluster) -> tuple[float, float]:
    """Memory (PSS, MB) and CPU (percent of one core over IDLE_SECONDS) of everything that the cluster runs."""
    import psutil

    from labsupport.cluster.embedded.inspect import pss_bytes

    roots = [psutil.Process(pid) for pid in cluster.processes()]
    if not roots:
        raise LabsError("The measured cluster does not run, or runs on another machine.", fix="labs doctor")

    def processes() -> list[psutil.Process]:
        return [each for root in roots for each in (root, *root.children(recursive=True))]

    began, before = time.monotonic(), cpu_seconds(processes())
    time.sleep(IDLE_SECONDS)
    used, seconds = cpu_seconds(processes()) - before, time.monotonic() - began
    pss = sum(pss_bytes(process) or 0 for process in processes())
    return pss / 2**20, 100 * used / seconds


def cpu_seconds(processes: Sequence[Any]) -> float:
    """CPU time of processes and of their children that ended and were waited for."""
    import psutil

    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # its time is now in its parent's children
        total += times.user + times.system + times.children_user + times.children_system
    return total
