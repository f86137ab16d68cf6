"""What can be seen of a kind cluster: containers, processes, memory, readiness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.interface import ClusterStatus, Component
from labsupport.cluster.kind import docker
from labsupport.cluster.kind import nodes as kind_nodes
from labsupport.errors import LabsError

# The programs that a cluster is made of, in the order in which they are shown.
COMPONENTS = (
    *("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"),
    *("kubelet", "kube-proxy", "containerd", "coredns"),
)


def status_of(
    directory: ClusterDirectory, kind_name: str, is_mine: Callable[[docker.Node], bool]
) -> ClusterStatus:
    """The status of a cluster, running or not."""
    record = directory.read_record()
    problems: list[str] = []
    notes: tuple[str, ...] = ()
    nodes: tuple[docker.Node, ...] = ()
    restarts: dict[str, int] = {}
    api = ""
    if not directory.root.is_dir():
        problems.append("there is no such cluster: `labs up --backend kind` makes it")
    else:
        from labsupport.cluster.kind.backend import MARK

        found = docker.look()
        if isinstance(found, docker.Trouble):
            problems.append(docker.explain(found)[0])
        else:
            nodes = tuple(node for node in docker.nodes(found, kind_name, MARK) if is_mine(node))
    running = any(node.running for node in nodes if node.role != "worker")
    if not problems and not nodes:
        problems.append("its containers are gone: `labs up` makes it anew")
    elif not problems and not running:
        problems.append("it is not running: `labs up` starts it")
    if running and isinstance(found, docker.Engine):
        states = kind_nodes.states(found, nodes, directory)
        notes = kind_nodes.out_on_purpose(states)
        problems += [
            f"node {name} has ended: `labs up` starts it" for name in states if states[name] == "ended"
        ]
        try:
            here = [name for name, state in states.items() if state == "running"]
            api, restarts, seen = _ask(directory, here)
            problems += seen
        except LabsError as error:
            problems.append(f"the API server does not answer: {error.what}")
    return ClusterStatus(
        ready=not problems,
        running=running,
        backend="kind",
        name=directory.name,
        unofficial_build=bool(record.get("unofficial_build", False)),
        components=_components(nodes, restarts) if running else (),
        kubeconfig=directory.kubeconfig,
        api=api,
        problems=tuple(problems),
        notes=notes,
    )


def _ask(directory: ClusterDirectory, nodes: list[str]) -> tuple[str, dict[str, int], list[str]]:
    """The API's address, restarts by container name, and why the cluster is not ready, asked of the API server.

    `nodes`: those that should be Ready.
    """
    from labsupport import kube

    api = kube.connect(directory.kubeconfig)
    problems = []
    for name in nodes:
        there = kube.get(api, "v1", "Node", name)
        seen = kube.ready([there] if there else [])
        if not seen.done:
            problems.append(f"node {name}: {seen.text}")
    dns = kube.get(api, "apps/v1", "Deployment", "coredns", "kube-system")
    available = ((dns or {}).get("status") or {}).get("availableReplicas", 0)
    if not problems and not available:
        problems.append("cluster DNS does not answer: no Pod of CoreDNS is ready")
    pods = kube.request(api, "GET", "/api/v1/namespaces/kube-system/pods")["items"]
    return str(api.configuration.host), restarts_of(pods), problems


def restarts_of(pods: list[dict[str, Any]]) -> dict[str, int]:
    """Restarts by container name, those of several Pods added up."""
    counts: dict[str, int] = {}
    for pod in pods:
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            counts[status["name"]] = counts.get(status["name"], 0) + int(status.get("restartCount", 0))
    return counts


def _components(nodes: tuple[docker.Node, ...], restarts: dict[str, int]) -> tuple[Component, ...]:
    """The programs that run in the nodes' containers; memory where this user may read it."""
    import psutil

    from labsupport.cluster.embedded.inspect import pss_bytes

    memory: dict[str, list[int | None]] = {}
    for node in nodes:
        if not node.pid:
            continue  # it does not run
        try:
            family = psutil.Process(node.pid).children(recursive=True)
        except psutil.Error:
            continue  # in another machine, as with Docker Desktop
        for each in family:
            try:
                # The kernel keeps 15 characters of a program's name (proc_pid_comm(5)).
                name = next((known for known in COMPONENTS if known[:15] == each.name()[:15]), "")
            except psutil.Error:
                continue
            if name:
                memory.setdefault(name, []).append(pss_bytes(each))
    components = []
    for name in COMPONENTS:
        if not memory and name in restarts:
            components.append(Component(name, "running", restarts[name], None))
        elif name in memory:
            known = [share for share in memory[name] if share is not None]
            total = round(sum(known) / 2**20, 1) if len(known) == len(memory[name]) else None
            components.append(Component(name, "running", restarts.get(name, 0), total))
    return tuple(components)
