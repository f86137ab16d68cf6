"""What a cluster could leave on the machine: processes, mounts, namespaces, network devices, files."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Snapshot:
    """What there is now; two snapshots are compared field by field."""

    processes: frozenset[str]
    mounts: tuple[str, ...]
    namespaces: frozenset[str]
    devices: frozenset[str]
    files: frozenset[str]


def snapshot(*directories: Path) -> Snapshot:
    """The machine's state as far as this user sees it, and the files below the directories."""
    namespaces, processes = set(), set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            name = (process / "comm").read_text().strip()
            if "labs" in command or "kube" in command or "labs" in name or "etcd" in command:
                processes.add(f"{process.name} {name} {command[:100]}")
            for entry in (process / "ns").iterdir():
                namespaces.add(os.readlink(entry))
    mounts = tuple(
        sorted(" ".join(line.split()[3:5]) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    )
    devices = frozenset(path.name for path in Path("/sys/class/net").iterdir())
    files = frozenset(
        str(path)
        for directory in directories
        if directory.exists()
        for path in [directory, *directory.rglob("*")]
    )
    return Snapshot(frozenset(processes), mounts, frozenset(namespaces), devices, files)
