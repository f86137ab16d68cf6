"""The nodes of a kind cluster: how many, what is told of each, and what can happen to one.

kind makes all nodes at once and can neither add nor remove any. Which of them were stopped on purpose is the cluster's
record; whether one is cut off, its own packet rules say, which end with its container.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.interface import NodeStatus
from labsupport.cluster.kind.docker import Engine, Node
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MAX_NODES = 9
ROLES = ("control-plane", "worker")  # kind's own; a third is the load balancer of several control planes
STOPPED = "stopped"  # in the record: names of the nodes that were stopped on purpose

# Packets are dropped where they enter and leave the node's own cable. Pods on it still reach each other.
_CUT = """
for program in iptables ip6tables; do
    for rule in "PREROUTING -i" "POSTROUTING -o"; do
        if [ "$0" = heal ]; then
            while $program -w -t mangle -D $rule eth0 -j DROP 2>/dev/null; do :; done
        else
            $program -w -t mangle -C $rule eth0 -j DROP 2>/dev/null ||
                $program -w -t mangle -I $rule eth0 -j DROP || exit 1
        fi
    done
done
"""
_IS_CUT = "iptables -w -t mangle -C PREROUTING -i eth0 -j DROP"


def wanted_count(recorded: int | None, asked: int | None, name: str) -> int:
    """How many nodes a cluster is to have: those asked for, else those that it has (None: there is none yet).

    Raises LabsError for a number that cannot be had.
    """
    if asked is not None and not 1 <= asked <= MAX_NODES:
        raise LabsError(f"A cluster of {asked} nodes cannot be made.", fix=f"choose 1 to {MAX_NODES}")
    if asked is not None and recorded is not None and asked != recorded:
        option = "" if name == "labs" else f" --name {name}"
        raise LabsError(
            f"Cluster {name!r} has {recorded} node{'s' * (recorded > 1)}, and kind can neither add nor remove one.",
            fix=f"make it anew: `labs down{option}`, then `labs up{option} --backend kind --nodes {asked}`; "
            "an embedded cluster can be given more nodes while it runs",
        )
    return asked or recorded or 1


def described(template: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The nodes of kind's configuration: the template's one control plane, and workers beside it."""
    (first,) = template["nodes"]
    return [dict(first), *({"role": "worker"} for _ in range(count - 1))]


def stopped_on_purpose(directory: ClusterDirectory) -> frozenset[str]:
    """Names of the nodes that `labs node stop` has stopped."""
    return frozenset(directory.read_record().get(STOPPED, ()))


def is_cut_off(engine: Engine, node: Node) -> bool:
    """Whether a node that runs is cut off from all others; the control plane's never is."""
    return node.role == "worker" and engine.run("exec", node.name, "sh", "-c", _IS_CUT).ok


def states(engine: Engine, nodes: Sequence[Node], directory: ClusterDirectory) -> dict[str, str]:
    """Each node of the cluster, but for a load balancer, and its state: see `interface.NodeStatus.state`."""
    stopped = stopped_on_purpose(directory)

    def state(node: Node) -> str:
        if not node.running:
            return "stopped" if node.name in stopped else "ended"
        return "partitioned" if is_cut_off(engine, node) else "running"

    return {node.name: state(node) for node in nodes if node.role in ROLES}


def listed(
    engine: Engine, nodes: Sequence[Node], directory: ClusterDirectory, api: ApiClient
) -> tuple[NodeStatus, ...]:
    """Every node with its state and what the API server says of it."""
    try:
        items = kube.request(api, "GET", "/api/v1/nodes")["items"]
    except LabsError:
        items = []
    known = {each["metadata"]["name"]: {"kind": "Node", **each} for each in items}
    roles = {node.name: node.role for node in nodes}
    now = states(engine, nodes, directory)
    return tuple(_told(name, roles[name], state, known.get(name)) for name, state in now.items())


def _told(name: str, role: str, state: str, known: dict[str, Any] | None) -> NodeStatus:
    entries = ((known or {}).get("status") or {}).get("addresses", ())
    addresses = {each["type"]: each["address"] for each in entries}
    return NodeStatus(
        name=name,
        role=role,
        state=state,
        ready=kube.ready([known]).done if known else None,
        address=addresses.get("InternalIP", ""),
        pods=((known or {}).get("spec") or {}).get("podCIDR", ""),
    )


def out_on_purpose(states: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each node that was stopped or cut off, with what brings it back."""
    words = {
        "stopped": "is stopped: `labs node start {}` starts it",
        "partitioned": "is cut off: `labs node heal {}` connects it again",
    }
    return tuple(f"{name} {words[state].format(name)}" for name, state in states.items() if state in words)


def chosen(nodes: Sequence[Node], name: str, what: str, cluster: str) -> Node:
    """The worker of that name, for doing `what` to it; raises LabsError where there is none of it."""
    workers = [node.name for node in nodes if node.role == "worker"]
    found = next((node for node in nodes if node.name == name), None)
    anew = "`labs up --backend kind --nodes 3` makes a cluster that has two that you can; kind cannot add them later"
    if found is None:
        there = ", ".join(node.name for node in nodes)
        raise LabsError(
            f"Cluster {cluster!r} has no node {name!r}, only {there}.", fix="`labs node list` lists them"
        )
    if found.role != "worker":
        raise LabsError(
            f"{name} holds the control plane: without it there is no cluster, so you cannot {what} it.",
            fix=f"choose one of: {', '.join(workers)}" if workers else anew,
        )
    return found


def command(engine: Engine, directory: ClusterDirectory, what: str, node: Node) -> bool:
    """Start, stop, partition or heal a node. Returns whether it should get Ready now; not waited for here."""
    stopped = stopped_on_purpose(directory)
    if what == "stop":
        # Recorded first: a stop that was interrupted is one that somebody wanted.
        directory.update_record(**{STOPPED: sorted({*stopped, node.name})})
        # No time to end in order: as if its power was cut, like an embedded node.
        engine.must("stop", "--time", "0", node.id, timeout=60)
        return False
    if what == "start":
        if not node.running:
            engine.must("start", node.id, timeout=60)
        directory.update_record(**{STOPPED: sorted(stopped - {node.name})})
    elif not node.running:
        if what == "partition":
            raise LabsError(
                f"{node.name} does not run, so there is nothing to cut off.",
                fix=f"labs node start {node.name}",
            )
        return False
    engine.must("exec", node.name, "sh", "-c", _CUT, "cut" if what == "partition" else "heal", timeout=30)
    return what != "partition"


def wait_until_ready(
    api: ApiClient, engine: Engine, nodes: Sequence[Node], seconds: float, update: Callable[[str], None]
) -> None:
    """Wait until each node that runs and is not cut off said Ready since its container was started.

    What the API server's store says of it may be older. Raises LabsError with what was seen last.
    """
    from labsupport.cluster.embedded.readiness import ready_since

    deadline = time.monotonic() + seconds
    for node in nodes:
        if node.role in ROLES and node.running and not is_cut_off(engine, node):
            since = ready_since(datetime.fromisoformat(node.started[:19] + "+00:00").timestamp())
            target = kube.Target("v1", "Node", node.name)
            kube.until(api, target, since, timeout=max(1.0, deadline - time.monotonic()), progress=update)
