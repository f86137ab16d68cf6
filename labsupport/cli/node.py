"""`labs node`: the nodes of a cluster, and what can happen to them."""

from __future__ import annotations

import click

from labsupport import cluster as clusters
from labsupport.cli.options import emit, json_option, name_option
from labsupport.cluster.interface import NodeStatus


@click.group("node")
def node_command() -> None:
    """List, stop, start, cut off and heal the nodes of a cluster (`labs up --nodes 3` makes one of three).

    The first node holds the control plane and cannot be stopped. A node that you stopped or cut off does not make the
    cluster "not ready"; Kubernetes sees it as NotReady after 50 s and evicts its Pods as their tolerations say.
    """


@node_command.command("list")
@name_option
@json_option
def list_command(name: str, as_json: bool) -> None:
    """Say of each node whether it runs, and whether the API server holds it for Ready."""
    found = clusters.nodes_of(name).nodes()
    emit({"nodes": [node.as_dict() for node in found]}, as_json=as_json, human=describe(found))


@node_command.command("stop")
@click.argument("node")
@name_option
@json_option
def stop_command(node: str, name: str, as_json: bool) -> None:
    """End a node with all that runs on it, as if its power was cut; its data stays."""
    _do("stop", node, name, as_json=as_json)


@node_command.command("start")
@click.argument("node")
@name_option
@json_option
def start_command(node: str, name: str, as_json: bool) -> None:
    """Start a node that was stopped or has ended, and wait until it is Ready; one that was cut off is healed."""
    _do("start", node, name, as_json=as_json)


@node_command.command("partition")
@click.argument("node")
@name_option
@json_option
def partition_command(node: str, name: str, as_json: bool) -> None:
    """Cut a node off from all others: whatever they send each other is lost; everything on it goes on running."""
    _do("partition", node, name, as_json=as_json)


@node_command.command("heal")
@click.argument("node")
@name_option
@json_option
def heal_command(node: str, name: str, as_json: bool) -> None:
    """Connect a node that was cut off, and wait until it is Ready; one that is stopped stays so."""
    _do("heal", node, name, as_json=as_json)


def _do(what: str, node: str, name: str, *, as_json: bool) -> None:
    cluster = clusters.nodes_of(name)
    cluster.command_node(what, node)
    now = next(each for each in cluster.nodes() if each.name == node)
    emit(now.as_dict(), as_json=as_json, human=describe((now,)))


def describe(nodes: tuple[NodeStatus, ...]) -> str:
    """Nodes as a person reads them."""
    words = {True: "Ready", False: "NotReady", None: "unknown"}
    wide = max(8, *(len(node.name) for node in nodes))
    lines = [f"{'NODE':{wide}}  {'ROLE':13}  {'STATE':11}  {'KUBERNETES':10}  {'ADDRESS':14}  PODS"]
    lines += [
        f"{node.name:{wide}}  {node.role:13}  {node.state:11}  {words[node.ready]:10}  {node.address:14}  {node.pods}"
        for node in nodes
    ]
    return "\n".join(lines)
