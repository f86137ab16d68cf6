"""How much a container uses: what its control group says, else the sum over its processes, read from /proc.

Without a group (limits.py) a container's processes are those of its mount namespace: that also finds them in a PID
namespace that it shares. Memory that several processes share is then counted once for each of them.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from labsupport.cluster.embedded.runtime import limits
from labsupport.cluster.embedded.runtime.containers import get_running
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import not_found
from labsupport.cluster.embedded.runtime.sandboxes import has_labels
from labsupport.cluster.embedded.runtime.state import Runtime
from labsupport.cluster.embedded.runtime.store import Container, Sandbox

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LAYER_AGE = 30.0  # seconds that a measured writable layer stays valid: walking it costs


@dataclass
class Usage:
    """Of one container: CPU time in nanoseconds, memory in bytes."""

    cpu_ns: int = 0
    resident: int = 0
    in_use: int = 0  # resident, with the file pages that a group is charged for
    anonymous: int = 0
    page_faults: int = 0
    major_page_faults: int = 0
    processes: int = 0


@dataclass
class Meter:
    """What must be remembered between two readings."""

    cpu: dict[str, int] = field(default_factory=dict)
    layers: dict[str, tuple[float, int, int]] = field(default_factory=dict)


METER = Meter()


def parse_stat(text: str) -> tuple[int, int, int]:
    """From /proc/PID/stat: (CPU ticks of the process and its dead children, page faults, major ones)."""
    fields = text.rpartition(")")[2].split()
    ticks = sum(int(value) for value in fields[11:15])
    return ticks, int(fields[7]) + int(fields[8]), int(fields[9]) + int(fields[10])


def usage_by_namespace(proc: Path = Path("/proc")) -> dict[int, Usage]:
    """The usage of every mount namespace on the node, by its number: one walk through /proc."""
    result: dict[int, Usage] = defaultdict(Usage)
    for entry in os.scandir(proc):
        if not entry.name.isdigit():
            continue
        try:
            namespace = os.stat(f"{entry.path}/ns/mnt").st_ino  # noqa: PTH116 - hundreds of times, speed counts
            with open(f"{entry.path}/stat") as stat, open(f"{entry.path}/statm") as statm:
                ticks, faults, major = parse_stat(stat.read())
                _, resident, shared = (int(value) for value in statm.read().split()[:3])
        except (OSError, ValueError):  # it has just ended
            continue
        usage = result[namespace]
        usage.cpu_ns += ticks * _TICK_NS
        usage.resident += resident * _PAGE
        usage.in_use += resident * _PAGE
        usage.anonymous += (resident - shared) * _PAGE
        usage.page_faults += faults
        usage.major_page_faults += major
        usage.processes += 1
    return result


def of_containers(runtime: Runtime) -> dict[str, Usage]:
    """The usage of running containers by id."""
    result = {}
    ungrouped = []
    for container in _running(runtime):
        if group := limits.usage(runtime.group_of(container)):
            result[container.id] = Usage(
                cpu_ns=group.cpu_ns,
                resident=group.working_set,
                in_use=group.memory,
                anonymous=group.anonymous,
                page_faults=group.page_faults,
                major_page_faults=group.major_page_faults,
                processes=group.processes,
            )
        else:
            ungrouped.append(container)
    spaces = usage_by_namespace() if ungrouped else {}
    for container in ungrouped:
        try:
            inode = Path(f"/proc/{container.pid}/ns/mnt").stat().st_ino
        except OSError:
            continue
        usage = spaces.get(inode, Usage())
        # A process that ended unseen takes its time along, but a counter must not go back.
        METER.cpu[container.id] = usage.cpu_ns = max(usage.cpu_ns, METER.cpu.get(container.id, 0))
        result[container.id] = usage
    for gone in METER.cpu.keys() - result.keys():
        METER.cpu.pop(gone, None)
    return result


def layer_size(container_id: str, upper: Path) -> tuple[int, int]:
    """(bytes, inodes) of what a container has written, measured at most every 30 s."""
    now = time.monotonic()
    measured = METER.layers.get(container_id)
    if measured and now - measured[0] < _LAYER_AGE:
        return measured[1], measured[2]
    size = inodes = 0
    for folder, _, files in os.walk(upper):
        inodes += 1 + len(files)
        for name in files:
            try:
                size += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
            except OSError:
                continue
    METER.layers[container_id] = (now, size, inodes)
    return size, inodes


def _value(number: int) -> cri.UInt64Value:
    return cri.UInt64Value(value=max(0, number))


def cpu(now: int, usage: Usage) -> cri.CpuUsage:
    """The CPU part of a statistic."""
    return cri.CpuUsage(timestamp=now, usage_core_nano_seconds=_value(usage.cpu_ns))


def memory(now: int, usage: Usage) -> cri.MemoryUsage:
    """The memory part of a statistic."""
    return cri.MemoryUsage(
        timestamp=now,
        working_set_bytes=_value(usage.resident),
        usage_bytes=_value(usage.in_use),
        rss_bytes=_value(usage.anonymous),
        page_faults=_value(usage.page_faults),
        major_page_faults=_value(usage.major_page_faults),
    )


def container_stats(runtime: Runtime, container: Container, usage: Usage) -> cri.ContainerStats:
    """One container's statistics."""
    now = time.time_ns()
    size, inodes = layer_size(container.id, runtime.containers.folder(container.id) / "upper")
    return cri.ContainerStats(
        attributes=cri.ContainerAttributes(
            id=container.id,
            metadata=container.config.metadata,
            labels=container.config.labels,
            annotations=container.config.annotations,
        ),
        cpu=cpu(now, usage),
        memory=memory(now, usage),
        writable_layer=cri.FilesystemUsage(
            timestamp=now,
            fs_id=cri.FilesystemIdentifier(mountpoint=str(runtime.config.state)),
            used_bytes=_value(size),
            inodes_used=_value(inodes),
        ),
    )


def one(runtime: Runtime, request: cri.ContainerStatsRequest) -> cri.ContainerStatsResponse:
    """ContainerStats."""
    container = get_running(runtime, request.container_id)
    usage = of_containers(runtime).get(container.id, Usage())
    return cri.ContainerStatsResponse(stats=container_stats(runtime, container, usage))


def _running(runtime: Runtime) -> list[Container]:
    return [container for container in runtime.containers if container.state == cri.CONTAINER_RUNNING]


def many(runtime: Runtime, request: cri.ListContainerStatsRequest) -> cri.ListContainerStatsResponse:
    """ListContainerStats: of running containers, filtered by id, sandbox and labels."""
    wanted = request.filter
    running = _running(runtime)
    usages = of_containers(runtime)
    for gone in METER.layers.keys() - {container.id for container in runtime.containers}:
        METER.layers.pop(gone, None)
    return cri.ListContainerStatsResponse(
        stats=[
            container_stats(runtime, container, usages[container.id])
            for container in running
            if container.id in usages
            and container.id.startswith(wanted.id)
            and wanted.pod_sandbox_id in ("", container.sandbox_id)
            and has_labels(container.config.labels, wanted.label_selector)
        ]
    )


def sandbox_stats(runtime: Runtime, sandbox: Sandbox, usages: dict[str, Usage]) -> cri.PodSandboxStats:
    """A Pod's statistics: the sum of its running containers, and its network counters."""
    now = time.time_ns()
    total = Usage()
    parts = []
    for container in runtime.containers_of(sandbox.id):
        if usage := usages.get(container.id):
            parts.append(container_stats(runtime, container, usage))
            for name, value in vars(usage).items():
                setattr(total, name, getattr(total, name) + value)
    result = cri.PodSandboxStats(
        attributes=cri.PodSandboxAttributes(
            id=sandbox.id,
            metadata=sandbox.config.metadata,
            labels=sandbox.config.labels,
            annotations=sandbox.config.annotations,
        ),
        linux=cri.LinuxPodSandboxStats(
            cpu=cpu(now, total),
            memory=memory(now, total),
            process=cri.ProcessUsage(timestamp=now, process_count=_value(total.processes)),
            containers=parts,
        ),
    )
    if interface := _interface(runtime, sandbox):
        result.linux.network.CopyFrom(
            cri.NetworkUsage(timestamp=now, default_interface=interface, interfaces=[interface])
        )
    return result


def _interface(runtime: Runtime, sandbox: Sandbox) -> cri.NetworkInterfaceUsage | None:
    """Counters of the Pod's eth0, read inside its network namespace through one of its processes."""
    if sandbox.host_network:
        return None
    for container in runtime.containers_of(sandbox.id):
        try:
            lines = Path(f"/proc/{container.pid}/net/dev").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, counters = line.partition(":")
            if name.strip() == "eth0":
                values = [int(value) for value in counters.split()]
                return cri.NetworkInterfaceUsage(
                    name="eth0",
                    rx_bytes=_value(values[0]),
                    rx_errors=_value(values[2]),
                    tx_bytes=_value(values[8]),
                    tx_errors=_value(values[10]),
                )
    return None


def one_sandbox(runtime: Runtime, request: cri.PodSandboxStatsRequest) -> cri.PodSandboxStatsResponse:
    """PodSandboxStats."""
    sandbox = runtime.sandboxes.get(request.pod_sandbox_id)
    if sandbox is None:
        raise not_found(f"sandbox {request.pod_sandbox_id}")
    usages = of_containers(runtime)
    return cri.PodSandboxStatsResponse(stats=sandbox_stats(runtime, sandbox, usages))


def many_sandboxes(
    runtime: Runtime, request: cri.ListPodSandboxStatsRequest
) -> cri.ListPodSandboxStatsResponse:
    """ListPodSandboxStats: of ready sandboxes."""
    usages = of_containers(runtime)
    return cri.ListPodSandboxStatsResponse(
        stats=[
            sandbox_stats(runtime, sandbox, usages)
            for sandbox in runtime.sandboxes
            if sandbox.ready
            and sandbox.id.startswith(request.filter.id)
            and has_labels(sandbox.config.labels, request.filter.label_selector)
        ]
    )


def image_file_system(runtime: Runtime) -> cri.ImageFsInfoResponse:
    """ImageFsInfo: the file system with the containers' layers; images take no space of their own."""
    disk = os.statvfs(runtime.config.state)
    usage = cri.FilesystemUsage(
        timestamp=time.time_ns(),
        fs_id=cri.FilesystemIdentifier(mountpoint=str(runtime.config.state)),
        used_bytes=_value((disk.f_blocks - disk.f_bfree) * disk.f_frsize),
        inodes_used=_value(disk.f_files - disk.f_ffree),
    )
    return cri.ImageFsInfoResponse(image_filesystems=[usage], container_filesystems=[usage])
