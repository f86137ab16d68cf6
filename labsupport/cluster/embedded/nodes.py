"""The nodes of an embedded cluster beyond the first, as the back end and `labs node` see them.

How many there are is the cluster's record; which of them run is the launcher's. Everything here may run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import addresses, conditions, holder, prepare, readiness
from labsupport.cluster.embedded.addresses import FIRST, MAX_NODES, Addresses
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.errors import LabsError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def count_of(directory: ClusterDirectory) -> int:
    """How many nodes a cluster has; 1 where nothing else is recorded."""
    return int(directory.read_record().get("nodes", 1))


def wanted_count(recorded: int | None, asked: int | None, name: str) -> int:
    """How many nodes `up` should bring up: those asked for, else those that the cluster has (None: it is new).

    Raises LabsError for a number that cannot be had.
    """
    if asked is not None and not 1 <= asked <= MAX_NODES:
        raise LabsError(f"A cluster of {asked} nodes cannot be made.", fix=f"choose 1 to {MAX_NODES}")
    if asked is None or recorded is None:
        return asked or recorded or 1
    if asked < recorded:
        option = "" if name == "labs" else f" --name {name}"
        raise LabsError(
            f"Cluster {name!r} has {recorded} nodes; {asked} would mean to remove some, with what is on them.",
            fix=f"`labs node stop{option} {Addresses(recorded).name}` stops one and keeps it; or make the cluster anew "
            f"with `labs down{option}` and `labs up{option} --nodes {asked}`",
        )
    return asked


def states(held: holder.Held | None, count: int) -> dict[Addresses, str]:
    """Each node of a cluster of `count` nodes and its state; "ended" where one should run and does not."""
    found = {FIRST: "running" if held else "stopped"}
    for node in addresses.workers(count):
        worker = held.workers.get(node.name) if held else None
        found[node] = worker.state if worker else "ended" if held else "stopped"
    return found


def out_on_purpose(directory: ClusterDirectory, count: int) -> tuple[str, ...]:
    """A sentence for each node of a running cluster that was stopped or cut off, with what brings it back."""
    held = holder.find(directory)
    words = {
        "stopped": "is stopped: `labs node start {}` starts it",
        "partitioned": "is cut off: `labs node heal {}` connects it again",
    }
    known = states(held, count) if held else {}
    return tuple(
        f"{node.name} {words[state].format(node.name)}" for node, state in known.items() if state in words
    )


def worker_named(directory: ClusterDirectory, name: str, what: str) -> Addresses:
    """The further node of that name, for doing `what` to it; raises LabsError where there is none of it."""
    count = count_of(directory)
    known = [FIRST, *addresses.workers(count)]
    found = next((node for node in known if node.name == name), None)
    if found is None:
        listed = ", ".join(node.name for node in known)
        raise LabsError(
            f"Cluster {directory.name!r} has no node {name!r}, only {listed}.",
            fix="`labs node list` lists them"
            if count > 1
            else "`labs up --nodes 3` adds two to this cluster; what is in it stays",
        )
    if found.is_first:
        others = ", ".join(node.name for node in known[1:])
        raise LabsError(
            f"{name} holds the control plane: without it there is no cluster, so you cannot {what} it.",
            fix=f"choose one of: {others}" if others else "`labs up --nodes 3` adds two nodes that you can",
        )
    return found


def start_missing(directory: ClusterDirectory, count: int) -> None:
    """Start each further node that does not run, but for those that were stopped on purpose."""
    for node in addresses.workers(count):
        held = holder.find(directory)
        worker = held.workers.get(node.name) if held else None
        if worker is None or worker.state == "ended":
            start(directory, node)


def start(directory: ClusterDirectory, node: Addresses) -> None:
    """Start a node that does not run, or connect it again if it was cut off."""
    held = holder.find(directory)
    worker = held.workers.get(node.name) if held else None
    if worker is None or worker.state in ("stopped", "ended"):
        from labsupport.cluster.images import compiled_catalogue

        # The same course root as the first node's: it may be older than this clone's.
        settings = json.loads((directory.root / "launch.json").read_text())
        root = Path(settings["course_root"])
        if "workers" not in settings:
            raise LabsError(
                "The cluster was started by an older version of this course, which had one node only.",
                fix="`labs down --keep`, then `labs up` with the same --nodes",
            )
        prepare.write_worker(directory, node, root, IdMap(**settings["idmap"]), compiled_catalogue())
    holder.command_worker(directory, "start", node.name)


def wait_until_ready(api: ApiClient, directory: ClusterDirectory, update: Callable[[str], None]) -> None:
    """Wait until each further node that runs and is not cut off is Ready since its start."""
    held = holder.find(directory)
    for node in addresses.workers(count_of(directory)):
        worker = held.workers.get(node.name) if held else None
        if worker and worker.state == "running":
            readiness.wait_until_ready(api, directory, node, lambda text, n=node: update(f"{n.name}: {text}"))  # type: ignore[misc]
            conditions.tell(api, directory, node)


def command(directory: ClusterDirectory, what: str, name: str, update: Callable[[str], None]) -> None:
    """Start, stop, partition or heal a node, and wait until one that should be Ready is.

    Raises LabsError: no such node, the first one, a cluster that does not run.
    """
    from labsupport import kube

    node = worker_named(directory, name, what)
    if holder.find(directory) is None:
        raise LabsError(
            f"Cluster {directory.name!r} is not running.", fix="`labs up` starts it with all its nodes"
        )
    with directory.locked(f"node {what}"):
        if what == "start":
            start(directory, node)
        else:
            holder.command_worker(directory, what, name)
        held = holder.find(directory)
        if what in ("start", "heal") and held and held.workers[name].state == "running":
            api = kube.connect(directory.kubeconfig)
            readiness.wait_until_ready(api, directory, node, update)
            conditions.tell(api, directory, node)
