"""Limits of memory and CPU: a control group for each container, where the host gave the node some to divide.

The node's own group was divided before it started (delegation.py); here its control groups are mounted where the
runtime may write, with one group below `containers` for each container, named by its id. Standard library only.
Sources: kernel, Documentation/admin-guide/cgroup-v2.rst; runtime-spec, config-linux.md; KEP-2254 (cgroup v2).
"""

from __future__ import annotations

import contextlib
import math
import select
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from labsupport.cluster.embedded import delegation, linux

MOUNT = Path("/run/labs/cgroup")
CONTAINERS = MOUNT / "containers"
_PERIOD = 100_000  # microseconds: the kernel's own
_KILL_SECONDS = 5.0
_NO_LIMIT = "max"
_LEAST_SHARES, _MOST_SHARES = 2, 262_144


class Resources(Protocol):
    """The fields of the CRI's LinuxContainerResources that are looked at; 0 means none."""

    cpu_period: int  # microseconds
    cpu_quota: int  # microseconds of processor time in each period
    cpu_shares: int  # in the form of version 1, 2 to 262144
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


def prepare() -> None:
    """As pid 1 of the node: mount its control groups, and divide them if it was given controllers.

    Where something is missing nothing is raised: `enforced` tells what came of it.
    """
    if not (Path("/sys/fs/cgroup") / "cgroup.controllers").exists():
        return
    with contextlib.suppress(OSError):
        MOUNT.mkdir(mode=0o700, exist_ok=True)
        linux.mount("cgroup2", MOUNT, "cgroup2", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        if "memory" in (MOUNT / "cgroup.subtree_control").read_text().split():
            CONTAINERS.mkdir()
            delegation.divide(CONTAINERS)


def enforced(containers: Path = CONTAINERS) -> tuple[str, ...]:
    """The controllers that containers are under: () where limits are not enforced."""
    try:
        return tuple((containers / "cgroup.subtree_control").read_text().split())
    except OSError:
        return ()


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
    if wanted.memory_limit_in_bytes:
        limit = wanted.memory_limit_in_bytes
        result["memory.max"] = str(limit) if limit > 0 else _NO_LIMIT
        # The CRI's figure is memory and swap together; a Pod gets no swap unless the kubelet was told so.
        swap = wanted.memory_swap_limit_in_bytes
        result["memory.swap.max"] = str(max(0, swap - limit)) if swap > 0 and limit > 0 else "0"
    return result | dict(wanted.unified)


def make(container_id: str, wanted: Resources, containers: Path = CONTAINERS) -> str:
    """Make a container's group with its limits; its directory, or "" where limits are not enforced.

    Raises OSError, naming the file, for a limit that the kernel refuses.
    """
    if not enforced(containers):
        return ""
    group = containers / container_id
    group.mkdir(exist_ok=True)
    try:
        apply(container_id, wanted, containers)
    except OSError:
        remove(container_id, containers)
        raise
    return str(group)


def apply(container_id: str, wanted: Resources, containers: Path = CONTAINERS) -> None:
    """Write a container's limits; nothing happens where it has no group. Raises OSError, naming the file."""
    group = containers / container_id
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


def was_out_of_memory(container_id: str, containers: Path = CONTAINERS) -> bool:
    """Whether the kernel ended a process of this container because it was at its limit of memory."""
    return _numbers(containers / container_id / "memory.events").get("oom_kill", 0) > 0


def usage(container_id: str, containers: Path = CONTAINERS) -> GroupUsage | None:
    """What a container's group has used; None where it has none."""
    group = containers / container_id
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


def remove(container_id: str, containers: Path = CONTAINERS) -> None:
    """End whatever is left in a container's group and remove it; without a group nothing happens."""
    group = containers / container_id
    if not group.is_dir():
        return
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")
        _wait_until_empty(group)
        group.rmdir()


def keep_only(wanted: set[str], containers: Path = CONTAINERS) -> None:
    """Remove the groups of containers that nobody knows: their runtime ended before it could."""
    if enforced(containers):
        for group in containers.iterdir():
            if group.is_dir() and group.name not in wanted:
                remove(group.name, containers)


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
