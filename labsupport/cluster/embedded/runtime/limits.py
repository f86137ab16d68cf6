"""Limits of memory and CPU: a control group for each container, where the host gave the node some to divide.

The node's own group was divided before it started (delegation.py). In it the kubelet makes a group for each Pod, and
here one is made for each container below its Pod's, named by its id. Standard library only.
Sources: kernel, Documentation/admin-guide/cgroup-v2.rst; runtime-spec, config-linux.md; KEP-2254 (cgroup v2).
"""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labsupport.cluster.embedded import delegation

ROOT = Path("/sys/fs/cgroup")  # of the node: its own group (noderoot.py)
_PERIOD = 100_000  # microseconds: the kernel's own
_KILL_SECONDS = 5.0
_NO_LIMIT = "max"
_LEAST_SHARES, _MOST_SHARES = 2, 262_144


class Resources(Protocol):
    """The fields of the CRI's LinuxContainerResources that are looked at; 0 means none."""

    cpu_period: int  # microseconds
    cpu_quota: int  # microseconds of processor time in each period
    cpu_shares: int  # in the form of version 1, 2 to 262144
    cpuset_cpus: str  # as in cpuset.cpus; kubelet asks for processors only if its CPU manager is told to
    memory_limit_in_bytes: int
    memory_swap_limit_in_bytes: int  # memory and swap together

    @property
    def unified(self) -> Mapping[str, str]:
        """Files of version 2 with their content, which go before all else."""


@dataclass(frozen=True)
class GroupUsage:
    """What a group has used: time in nanoseconds, memory in bytes."""

    cpu_ns: int
    memory: int
    working_set: int  # without what the kernel can drop at once: inactive file pages
    anonymous: int
    page_faults: int
    major_page_faults: int
    processes: int


def enforced(root: Path = ROOT) -> tuple[str, ...]:
    """The controllers that containers are put under on this node: () where limits are not enforced."""
    try:
        divided = (root / "cgroup.subtree_control").read_text().split()
    except OSError:
        return ()
    # A node without a group of its own sees that of whoever started it, which it cannot write.
    return tuple(divided) if "memory" in divided and os.access(root / "cgroup.procs", os.W_OK) else ()


def group_of(parent: str, container_id: str, root: Path = ROOT) -> Path:
    """The directory of a container's group; `parent` is the Pod's, as the kubelet names it (cgroup_parent)."""
    return root / parent.strip("/") / container_id


def weight(shares: int) -> int:
    """cpu.weight (1 to 10000) for CPU shares of version 1 (2 to 262144), by the curve that runc and crun use.

    It meets 1 at 2 shares, 100 at 1024 (both versions' default) and 10000 at 262144.
    """
    if shares <= _LEAST_SHARES:
        return 1
    if shares >= _MOST_SHARES:
        return 10_000
    exponent = math.log2(shares)
    return math.ceil(10 ** ((exponent**2 + 125 * exponent) / 612 - 7 / 34))


def settings(wanted: Resources) -> dict[str, str]:
    """The files of a container's group and what to write in them, for every limit that is asked for."""
    result = {}
    if wanted.cpu_quota or wanted.cpu_period:
        quota = str(wanted.cpu_quota) if wanted.cpu_quota > 0 else _NO_LIMIT
        result["cpu.max"] = f"{quota} {wanted.cpu_period or _PERIOD}"
    if wanted.cpu_shares:
        result["cpu.weight"] = str(weight(wanted.cpu_shares))
    if wanted.cpuset_cpus:
        result["cpuset.cpus"] = wanted.cpuset_cpus
    if wanted.memory_limit_in_bytes:
        limit = wanted.memory_limit_in_bytes
        result["memory.max"] = str(limit) if limit > 0 else _NO_LIMIT
        # The CRI's figure is memory and swap together; a Pod gets no swap unless the kubelet was told so.
        swap = wanted.memory_swap_limit_in_bytes
        result["memory.swap.max"] = str(max(0, swap - limit)) if swap > 0 and limit > 0 else "0"
    return result | dict(wanted.unified)


def make(group: Path, wanted: Resources) -> None:
    """Make a container's group with its limits. Raises OSError, naming the file, where the kernel refuses one."""
    delegation.divide(group.parent)
    group.mkdir(exist_ok=True)
    try:
        apply(group, wanted)
    except OSError:
        remove(group)
        raise


def apply(group: Path, wanted: Resources) -> None:
    """Write a container's limits; nothing happens where it has no group. Raises OSError, naming the file."""
    if not group.is_dir():
        return
    for name, content in settings(wanted).items():
        if "/" in name:
            raise OSError(f"{name} is no file of a control group")
        if not (group / name).exists():
            # A controller that this host did not give (cpu, on some), or a kernel without swap accounting.
            continue
        try:
            (group / name).write_text(content)
        except OSError as error:
            raise OSError(error.errno, f"{name} cannot be set to {content}: {error.strerror}") from error


def was_out_of_memory(group: Path) -> bool:
    """Whether the kernel ended a process of this container because it was at its limit of memory."""
    return _numbers(group / "memory.events").get("oom_kill", 0) > 0


def usage(group: Path) -> GroupUsage | None:
    """What a container's group has used; None where it has none."""
    try:
        memory = int((group / "memory.current").read_text())
        processes = int((group / "pids.current").read_text()) if (group / "pids.current").exists() else 0
    except (OSError, ValueError):
        return None
    cpu, details = _numbers(group / "cpu.stat"), _numbers(group / "memory.stat")
    return GroupUsage(
        cpu_ns=cpu.get("usage_usec", 0) * 1000,
        memory=memory,
        working_set=max(0, memory - details.get("inactive_file", 0)),
        anonymous=details.get("anon", 0),
        page_faults=details.get("pgfault", 0),
        major_page_faults=details.get("pgmajfault", 0),
        processes=processes,
    )


def remove(group: Path) -> None:
    """End whatever is left in a container's group and remove it; without a group nothing happens."""
    if not group.is_dir():
        return
    with contextlib.suppress(OSError):  # from Linux 5.14 on; before, what is left ends with its PID namespace
        (group / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError):
        _wait_until_empty(group)
        group.rmdir()


def _wait_until_empty(group: Path) -> None:
    # The kernel marks the file as changed when the last process has gone (cgroup-v2.rst, "cgroup.events").
    with (group / "cgroup.events").open() as events:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while "populated 1" in events.read():
            if not poll.poll(_KILL_SECONDS * 1000):
                return
            events.seek(0)


def _numbers(file: Path) -> dict[str, int]:
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) == 2 and line[1].isdigit()}
