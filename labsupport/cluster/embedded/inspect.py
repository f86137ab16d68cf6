"""What can be seen of an embedded cluster from the host: processes, memory, readiness."""

from __future__ import annotations

from pathlib import Path

import psutil

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import holder, readiness
from labsupport.cluster.interface import ClusterStatus, Component


def status_of(directory: ClusterDirectory) -> ClusterStatus:
    """The status of a cluster, running or not."""
    record = directory.read_record()
    held = holder.find(directory)
    node = readiness.read_status(directory)
    problems = _problems(directory, held is not None, node)
    return ClusterStatus(
        ready=not problems,
        running=held is not None,
        backend="embedded",
        name=directory.name,
        unofficial_build=bool(record.get("unofficial_build", False)),
        components=_components(held, node),
        kubeconfig=directory.kubeconfig,
        api=f"https://127.0.0.1:{held.port}" if held else "",
        problems=tuple(problems),
    )


def node_processes(held: holder.Held) -> dict[int, psutil.Process]:
    """Every process of the node by its pid inside it (pid 1 is the node's own)."""
    processes = {}
    for process in [psutil.Process(held.init), *psutil.Process(held.init).children(recursive=True)]:
        inside = _pids_inside(process.pid)
        # Containers have a pid namespace of their own, one level further down.
        if len(inside) >= 2:
            processes[inside[1]] = process
    return processes


def component_processes(directory: ClusterDirectory) -> dict[str, psutil.Process]:
    """The process of each component that runs, by the component's name; {} where the cluster does not run."""
    held = holder.find(directory)
    entries = readiness.read_status(directory).get("components", [])
    if held is None or not isinstance(entries, list):
        return {}
    try:
        processes = node_processes(held)
    except psutil.NoSuchProcess:
        return {}
    return {entry["name"]: processes[entry["pid"]] for entry in entries if entry["pid"] in processes}


def pss_bytes(process: psutil.Process) -> int | None:
    """Proportional share of memory of a process in bytes; None where it has ended or may not be read."""
    try:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")), None)


def _pids_inside(pid: int) -> list[int]:
    """The pids of a process, one for each pid namespace from the host's inwards (proc_pid_status(5), NSpid)."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return []
    line = next((line for line in status.splitlines() if line.startswith("NSpid:")), "NSpid:")
    return [int(number) for number in line.split()[1:]]


def _components(held: holder.Held | None, node: dict[str, object]) -> tuple[Component, ...]:
    processes = {}
    if held is not None:
        try:
            processes = node_processes(held)
        except psutil.NoSuchProcess:
            held = None
    components = []
    entries = node.get("components", [])
    for entry in entries if isinstance(entries, list) else []:
        process = processes.get(entry["pid"]) if held else None
        share = pss_bytes(process) if process else None
        components.append(
            Component(
                name=entry["name"],
                state=entry["state"] if held else "stopped",
                restarts=entry["restarts"],
                pss_mb=None if share is None else round(share / 2**20, 1),
                last_exit=entry["last_exit"],
            )
        )
    return tuple(components)


def _problems(directory: ClusterDirectory, running: bool, node: dict[str, object]) -> list[str]:
    """Why the cluster is not ready; [] where it is."""
    if not directory.root.is_dir():
        return ["there is no such cluster: `labs up` makes it"]
    if not running:
        return ["it is not running: `labs up` starts it"]
    problems = []
    entries = node.get("components", [])
    for entry in entries if isinstance(entries, list) else []:
        if entry["state"] != "running":
            problems.append(f"{entry['name']} is {entry['state']}: {entry['last_exit']}".rstrip(": "))
    if not problems:
        problems += readiness.api_problems(directory)
    if not problems and (dns := readiness.dns_problem(directory)):
        problems.append(f"cluster DNS does not answer: {dns}")
    return problems
