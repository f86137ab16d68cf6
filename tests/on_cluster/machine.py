"""What a cluster has on the machine, and what is left of it: processes, namespaces, mounts, devices, files.

Other programs come and go while a test runs, so processes and namespaces are followed by identity, not counted.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from labsupport.cluster.embedded.keeper import process_identity


@dataclass(frozen=True)
class Belongings:
    """Processes (pid, start in clock ticks) and namespaces (such as "net:[4026532456]") of a running cluster."""

    processes: frozenset[tuple[int, int]]
    namespaces: frozenset[str]


@dataclass(frozen=True)
class Surroundings:
    """Mounts and network devices that this process sees, and the files below some directories."""

    mounts: tuple[str, ...]
    devices: frozenset[str]
    files: frozenset[str]


def belongings(launcher: int) -> Belongings:
    """Everything that descends from a cluster's launcher, and the namespaces that these have and we do not."""
    processes, namespaces = set(), set()
    root = psutil.Process(launcher)
    for process in [root, *root.children(recursive=True)]:
        with suppress(OSError):
            processes.add((process.pid, process_identity(process.pid)["start_ticks"]))
            namespaces |= _namespaces(process.pid)
    return Belongings(frozenset(processes), frozenset(namespaces - _namespaces(os.getpid())))


def left_of(before: Belongings) -> Belongings:
    """What still exists of them, in whatever process; one that has ended and waits for init to notice does not."""
    processes, namespaces = set(), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError, psutil.NoSuchProcess):
                if psutil.Process(int(entry.name)).status() == psutil.STATUS_ZOMBIE:
                    continue
                processes.add((int(entry.name), process_identity(int(entry.name))["start_ticks"]))
                namespaces |= _namespaces(int(entry.name))
    return Belongings(before.processes & processes, before.namespaces & namespaces)


def surroundings(*directories: Path) -> Surroundings:
    """Mounts and devices as this process sees them, and all files below the directories."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    files = (
        path for directory in directories if directory.exists() for path in [directory, *directory.rglob("*")]
    )
    return Surroundings(
        mounts=tuple(sorted(" ".join(line.split()[3:5]) for line in mounts)),
        devices=frozenset(path.name for path in Path("/sys/class/net").iterdir()),
        files=frozenset(map(str, files)),
    )


def _namespaces(pid: int) -> set[str]:
    return {
        os.readlink(entry)
        for entry in Path(f"/proc/{pid}/ns").iterdir()
        if not entry.name.endswith("_for_children")
    }
