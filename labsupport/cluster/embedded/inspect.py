"""What can be seen of an embedded cluster from the host: processes, memory, readiness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import holder, nodes, readiness
from labsupport.cluster.embedded.addresses import Addresses
from labsupport.cluster.interface import ClusterStatus, Component, NodeStatus
from labsupport.errors import LabsError


def status_of(directory: ClusterDirectory) -> ClusterStatus:
    """The status of a cluster, running or not."""
    record = directory.read_record()
    held = holder.find(directory)
    count = int(record.get("nodes", 1))
    states = nodes.states(held, count)
    components = [
        component for node, state in states.items() for component in _components(directory, node, state, held)
    ]
    problems = _problems(directory, held, states, components)
    return ClusterStatus(
        ready=not problems,
        running=held is not None,
        backend="embedded",
        name=directory.name,
        unofficial_build=bool(record.get("unofficial_build", False)),
        components=tuple(components),
        kubeconfig=directory.kubeconfig,
        api=f"https://127.0.0.1:{held.port}" if held else "",
        problems=tuple(problems),
        notes=nodes.out_on_purpose(directory, count),
    )


def list_nodes(directory: ClusterDirectory) -> tuple[NodeStatus, ...]:
    """Every node with its state and what the API server says of it."""
    held = holder.find(directory)
    states = nodes.states(held, int(directory.read_record().get("nodes", 1)))
    try:
        conditions = readiness.node_conditions(directory) if held else {}
    except LabsError:
        conditions = {}
    return tuple(
        NodeStatus(
            name=node.name,
            role="control-plane" if node.is_first else "worker",
            state=state,
            ready=conditions[node.name].done if node.name in conditions else None,
            address=node.ip,
            pods=node.pod_cidr,
        )
        for node, state in states.items()
    )


def node_processes(held: holder.Held | holder.HeldWorker) -> dict[int, psutil.Process]:
    """Every process of a node by its pid inside it (pid 1 is the node's own)."""
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


def _components(
    directory: ClusterDirectory, node: Addresses, state: str, held: holder.Held | None
) -> list[Component]:
    processes = {}
    runs = held is not None and state in ("running", "partitioned")
    if held is not None and runs:
        try:
            processes = node_processes(held if node.is_first else held.workers[node.name])
        except psutil.NoSuchProcess:
            runs = False
    components = []
    for entry in readiness.read_status(directory, node).get("components", []):
        process = processes.get(entry["pid"]) if runs else None
        share = pss_bytes(process) if process else None
        components.append(
            Component(
                name=entry["name"],
                state=entry["state"] if runs else "stopped",
                restarts=entry["restarts"],
                pss_mb=None if share is None else round(share / 2**20, 1),
                last_exit=entry["last_exit"],
                node=node.name,
            )
        )
    return components


def _problems(
    directory: ClusterDirectory,
    held: holder.Held | None,
    states: Mapping[Addresses, str],
    components: Iterable[Component],
) -> list[str]:
    """Why the cluster is not ready; [] where it is. Nodes that were stopped or cut off on purpose are none."""
    if not directory.root.is_dir():
        return ["there is no such cluster: `labs up` makes it"]
    if held is None:
        return ["it is not running: `labs up` starts it"]
    problems = [
        f"{node.name} does not run: `labs up` starts it" for node, state in states.items() if state == "ended"
    ]
    wanted = [node.name for node, state in states.items() if state == "running"]
    for component in components:
        if component.node in wanted and component.state != "running":
            place = "" if len(states) == 1 else f" on {component.node}"
            text = f"{component.name}{place} is {component.state}: {component.last_exit}"
            problems.append(text.rstrip(": "))
    if not problems:
        problems += readiness.api_problems(directory, wanted)
    if not problems and (dns := readiness.dns_problem(directory)):
        problems.append(f"cluster DNS does not answer: {dns}")
    return problems
