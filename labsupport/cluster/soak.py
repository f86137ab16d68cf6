"""A cluster under Pods that come and go for a long time: does anything of it grow?

On a cluster of its own, in a state directory of its own that is removed at the end. Between two rounds, when none of
its Pods is there any more, each component's open files, inotify watches, processes and memory are read, and what the
node has in use. The first third of the time is for growing up (caches, heaps) and is not counted.

The Pods' Events are removed after each round. Kubernetes keeps them for an hour (--event-ttl), about five for a Pod,
and etcd grows with them that long: 33,000 Events after 6,700 Pods were a store of 85 MB, which etcd maps into memory.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport.cluster import bench
from labsupport.cluster.trend import Trend, trend
from labsupport.console import phase
from labsupport.errors import LabsError

if TYPE_CHECKING:
    import psutil

    from labsupport.cluster.directory import ClusterDirectory

BATCH = 10  # Pods of a round
WARM = 1 / 3  # of the time
EVERY = 10.0  # seconds between two readings at least
RELEASE_SECONDS = 60.0
POLL = 0.1  # seconds between two looks at the node's files
RUNTIME = "node/var/lib/labs-runtime"  # in a cluster's directory (embedded/prepare.py)
FIELDS = ("open files", "inotify watches", "processes", "memory MB")

Reading = dict[tuple[str, str], float]  # by component, or "node", and what was read


@dataclass
class Result:
    """Readings with their times (seconds from the start), how many Pods came and went, and the seconds counted from."""

    minutes: float
    warm: float = 0.0
    pods: int = 0
    rounds: list[float] = field(default_factory=list)  # seconds that each took
    times: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def trends(self) -> dict[tuple[str, str], Trend]:
        """The trend of whatever was read, after the warm-up. Errors: ValueError where it was read too seldom."""
        counted = [number for number, moment in enumerate(self.times) if moment >= self.warm]
        series: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
        for number in counted:
            for key, value in self.readings[number].items():
                series[key].append((self.times[number], value))
        return {key: trend(*zip(*values, strict=True)) for key, values in series.items()}

    def as_dict(self) -> dict[str, Any]:
        """The JSON form (`labs bench soak --json`)."""
        return {
            "minutes": self.minutes,
            "pods": self.pods,
            "rounds": len(self.rounds),
            "trends": [
                {
                    "component": component,
                    "what": what,
                    "first": round(found.first, 1),
                    "last": round(found.last, 1),
                    "per_hour": round(found.per_hour, 2),
                    "error": round(found.error, 2),
                    "grows": found.grows,
                }
                for (component, what), found in self.trends().items()
            ],
        }


def soak(minutes: float) -> Result:
    """Let Pods come and go on a new embedded cluster for so many minutes, and read what it uses.

    Errors: LabsError where a Pod does not come or go, or the time was too short for three counted readings.
    """
    from labsupport import kube
    from labsupport.cluster import get
    from labsupport.cluster.directory import ClusterDirectory

    result = Result(minutes, warm=minutes * 60 * WARM)
    with bench.own_state():
        cluster = get(bench.NAME, "embedded")
        try:
            cluster.up()
            api = kube.connect(cluster.kubeconfig)
            (template,) = kube.load(bench.MANIFEST)
            directory = ClusterDirectory(bench.NAME)
            others = addresses(directory)
            began = time.monotonic()
            with phase(f"Pods come and go for {minutes:.0f} minutes") as progress:
                while (now := time.monotonic() - began) < minutes * 60:
                    progress.update(f"{result.pods} Pods so far")
                    result.rounds.append(bench.timed(lambda: _round(api, template, result.pods)))
                    result.pods += BATCH
                    if not result.times or now - result.times[-1] >= EVERY:
                        _await_release(directory, others)
                        result.readings.append(read(directory))
                        result.times.append(time.monotonic() - began)
        finally:
            cluster.down()
    if sum(moment >= result.warm for moment in result.times) < 3:
        raise LabsError(f"{minutes:g} minutes are too short to tell whether anything grows.", fix="give more")
    return result


def _round(api: Any, template: Mapping[str, Any], number: int) -> None:
    from labsupport import kube

    names = [f"soak-{number + index}" for index in range(BATCH)]
    with bench.watching(api) as watcher:
        for name in names:
            bench.create(api, dict(template), name)
        for name in names:
            watcher.ready_at(name)
    bench.remove(api, dict(template), names)
    kube.request(api, "DELETE", "/api/v1/namespaces/default/events")


def read(directory: ClusterDirectory) -> Reading:
    """What a running cluster uses now: FIELDS of each component, and what its Pods have on the node."""
    from labsupport.cluster.embedded.inspect import component_processes

    reading: Reading = {}
    for name, process in component_processes(directory).items():
        values = (
            _open_files(process.pid),
            inotify_watches(process.pid),
            _descendants(process) + 1,
            _resident(process) / 2**20,
        )
        reading |= {(name, what): float(value) for what, value in zip(FIELDS, values, strict=True)}
    # The kubelet collects records of what has ended once a minute; an address is free at once.
    reading["node", "records of sandboxes"] = float(len(_records(directory)))
    reading["node", "addresses"] = float(addresses(directory))
    return reading


def addresses(directory: ClusterDirectory) -> int:
    """How many Pods hold an address of the node's range."""
    return sum(map(_has_address, _records(directory)))


def _records(directory: ClusterDirectory) -> list[Path]:
    return list((directory.root / RUNTIME / "sandboxes").glob("*/record.json"))


def _has_address(record: Path) -> bool:
    try:
        sandbox = json.loads(record.read_text())
    except OSError:  # collected meanwhile
        return False
    return bool(sandbox["ready"] and sandbox["address"])


def _await_release(directory: ClusterDirectory, others: int) -> None:
    """Wait until the kubelet has ended what the API server has deleted: without grace it says so at once."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while (held := addresses(directory)) > others:
        if time.monotonic() > deadline:
            raise LabsError(
                f"{held - others} deleted Pods still have their addresses after {RELEASE_SECONDS:.0f} s.",
                fix="labs report",
            )
        time.sleep(POLL)


def _descendants(process: psutil.Process) -> int:
    import psutil

    try:
        return len(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return 0


def _resident(process: psutil.Process) -> int:
    """Bytes; not the proportional share, which changes when another cluster on the machine starts or ends."""
    import psutil

    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _open_files(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def inotify_watches(pid: int) -> int:
    """The inotify watches of a process (proc_pid_fdinfo(5)); 0 where it has ended."""
    watches = 0
    try:
        for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
            watches += sum(line.startswith("inotify ") for line in entry.read_text().splitlines())
    except OSError:  # it, or one of its files, has just been closed
        return watches
    return watches


def describe(result: Result) -> str:
    """The result as a person reads it: one row for each component, and below whatever grows."""
    trends = result.trends()
    components = list(dict.fromkeys(component for component, _ in trends))
    lines = [
        f"{result.pods} Pods came and went in {len(result.rounds)} rounds of {BATCH} and {result.minutes:g} minutes, "
        f"the first {result.warm / 60:.0f} of which are not counted.",
        f"Slope an hour, with its standard error; read {sum(t >= result.warm for t in result.times)} times.",
        "",
        "  ".join([f"{'COMPONENT':24}", *(f"{what.upper():>18}" for what in FIELDS)]),
    ]
    for component in components:
        if component != "node":
            cells = (_cell(trends.get((component, what))) for what in FIELDS)
            lines.append("  ".join([f"{component:24}", *(f"{cell:>18}" for cell in cells)]))
    lines += [
        f"node, {what}: {found.first:.0f} to {found.last:.0f}, {_cell(found)} an hour"
        for (component, what), found in trends.items()
        if component == "node"
    ]
    growing = [
        f"{key[0]}, {key[1]}: {trends[key].first:.1f} to {trends[key].last:.1f}" for key in growing_of(trends)
    ]
    return "\n".join([*lines, "", "What grows: " + ("; ".join(growing) or "nothing")])


def growing_of(trends: Mapping[tuple[str, str], Trend]) -> list[tuple[str, str]]:
    """What of it grows."""
    return [key for key, found in trends.items() if found.grows]


def _cell(found: Trend | None) -> str:
    return "-" if found is None else f"{found.per_hour:+.1f} ±{found.error:.1f}"
