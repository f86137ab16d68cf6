"""The topology as records: read from the control plane's JSON, chosen from, put together. Nothing here draws."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

BAD_SHARE = 0.01  # of errors, from which an edge counts as in trouble
LIMIT = 150  # boxes that a person can still look at; with more, one stands for each namespace
WINDOWS = (10, 60, 300)  # seconds that a page offers to look back


@dataclass(frozen=True)
class Node:
    """Who calls or is called: a ServiceAccount, a gateway, an address outside, a caller without an identity."""

    id: str
    namespace: str = ""
    account: str = ""
    kind: str = "workload"  # workload, gateway, outside, unknown; here also: namespace
    ready: int = 0  # Pods that are ready
    proxies: int = 0  # that are connected to the control plane
    workloads: tuple[str, ...] = ()  # what runs under that ServiceAccount


@dataclass(frozen=True)
class Edge:
    """What one node asked another through one port of a Service, in the time looked at. Times are in milliseconds."""

    source: str
    target: str
    service: str = ""
    protocol: str = "http"  # http or tcp
    mtls: bool = True
    requests: int = 0
    rate: float = 0.0  # requests a second, with tcp connections
    errors: int = 0
    error_share: float = 0.0  # 0 to 1
    denied: int = 0
    would_deny: int = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p99_ms: float | None = None
    in_flight: float = 0.0
    limited: int = 0
    connections: int = 0
    bytes_out: int = 0
    bytes_in: int = 0

    @property
    def asks(self) -> float:
        """Requests a second: connections are none."""
        return 0.0 if self.protocol == "tcp" else self.rate

    @property
    def trouble(self) -> bool:
        """Whether somebody should look: errors, refusals, limits that were hit."""
        return self.error_share >= BAD_SHARE or bool(self.denied or self.limited)


@dataclass(frozen=True)
class Topology:
    """All of it, as it was `at` (seconds since the epoch), over the `seconds` before. `lost` reports never came."""

    nodes: tuple[Node, ...] = ()
    edges: tuple[Edge, ...] = ()
    at: float = 0.0
    seconds: float = 60.0
    lost: int = 0


def read(said: Mapping[str, Any]) -> Topology:
    """The topology of the control plane's JSON. Keys that are not known are left out, missing ones get defaults."""
    edges = tuple(
        Edge(**_known(Edge, {**each, "source": each["from"], "target": each["to"]}))
        for each in said.get("edges") or ()
    )
    nodes = {
        each["id"]: Node(**_known(Node, {**each, "workloads": tuple(each.get("workloads") or ())}))
        for each in said.get("nodes") or ()
    }
    for name in (end for edge in edges for end in (edge.source, edge.target)):
        if name not in nodes:
            namespace, _, account = name.rpartition("/")
            kind = name if name in ("outside", "unknown") else "workload"
            nodes[name] = Node(name, namespace, account, kind)
    return Topology(
        tuple(nodes[name] for name in sorted(nodes)),
        tuple(sorted(edges, key=lambda edge: (edge.source, edge.target, edge.service, edge.protocol))),
        float(said.get("at") or 0.0),
        float(said.get("seconds") or 60.0),
        int(said.get("lost") or 0),
    )


def _known(record: type, said: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: said[each.name] for each in fields(record) if said.get(each.name) is not None}


def as_dict(topology: Topology) -> dict[str, Any]:
    """The JSON that `read` reads."""
    edges = []
    for edge in topology.edges:
        found = asdict(edge)
        edges.append({"from": found.pop("source"), "to": found.pop("target"), **found})
    return {**asdict(topology), "edges": edges}


def gathered(said: Iterable[Mapping[str, Any]]) -> Topology:
    """One topology of what several control planes say: each proxy reports to one of them."""
    parts = [read(each) for each in said]
    nodes: dict[str, Node] = {}
    for node in (node for part in parts for node in part.nodes):
        if node.id not in nodes or node.proxies > nodes[node.id].proxies:
            nodes[node.id] = node
    edges: dict[tuple[str, ...], list[Edge]] = {}
    for edge in (edge for part in parts for edge in part.edges):
        edges.setdefault((edge.source, edge.target, edge.service, edge.protocol), []).append(edge)
    return Topology(
        tuple(nodes[name] for name in sorted(nodes)),
        tuple(together(edges[key]) for key in sorted(edges)),
        max((part.at for part in parts), default=0.0),
        max((part.seconds for part in parts), default=60.0),
        sum(part.lost for part in parts),
    )


def together(edges: Sequence[Edge], source: str = "", target: str = "") -> Edge:
    """One edge for several: counts add up; of times the longest is told, since percentiles do not add up."""
    first = edges[0]
    if len(edges) == 1 and not source:
        return first
    requests, errors = sum(edge.requests for edge in edges), sum(edge.errors for edge in edges)
    tried = requests + sum(edge.connections for edge in edges)
    services = {edge.service for edge in edges}
    return Edge(
        source or first.source,
        target or first.target,
        first.service if len(services) == 1 else f"{len(services)} Services",
        first.protocol if len({edge.protocol for edge in edges}) == 1 else "http",
        all(edge.mtls for edge in edges),
        requests,
        sum(edge.asks for edge in edges) or sum(edge.rate for edge in edges),
        errors,
        errors / tried if tried else 0.0,
        sum(edge.denied for edge in edges),
        sum(edge.would_deny for edge in edges),
        _longest(edge.p50_ms for edge in edges),
        _longest(edge.p90_ms for edge in edges),
        _longest(edge.p99_ms for edge in edges),
        sum(edge.in_flight for edge in edges),
        sum(edge.limited for edge in edges),
        sum(edge.connections for edge in edges),
        sum(edge.bytes_out for edge in edges),
        sum(edge.bytes_in for edge in edges),
    )


def _longest(times: Iterable[float | None]) -> float | None:
    return max((each for each in times if each is not None), default=None)


def lines(topology: Topology) -> dict[tuple[str, str], Edge]:
    """By caller and called, what goes from one to the other over all Services: what a picture draws as one line."""
    found: dict[tuple[str, str], list[Edge]] = {}
    for edge in topology.edges:
        found.setdefault((edge.source, edge.target), []).append(edge)
    return {key: together(edges) for key, edges in found.items()}


def chosen(topology: Topology, *, find: str = "", trouble: bool = False) -> Topology:
    """What has to do with nodes whose id has `find` in it, or only the edges in trouble, with their ends."""
    words = find.lower().split()
    hit = {node.id for node in topology.nodes if all(word in node.id.lower() for word in words)}
    edges = tuple(
        edge
        for edge in topology.edges
        if (edge.source in hit or edge.target in hit) and (edge.trouble or not trouble)
    )
    ends = {end for edge in edges for end in (edge.source, edge.target)}
    kept = ends if trouble else ends | hit
    return replace(topology, nodes=tuple(node for node in topology.nodes if node.id in kept), edges=edges)


def by_namespace(topology: Topology) -> Topology:
    """One node for each namespace; what stays within one is an edge of it to itself."""
    home = {node.id: node.namespace or node.id for node in topology.nodes}
    nodes: dict[str, Node] = {}
    for node in topology.nodes:
        name = home[node.id]
        kind = "namespace" if node.namespace else node.kind
        before = nodes.get(name, Node(name, name if node.namespace else "", "", kind))
        nodes[name] = replace(before, ready=before.ready + node.ready, proxies=before.proxies + node.proxies)
    edges: dict[tuple[str, str], list[Edge]] = {}
    for edge in topology.edges:
        edges.setdefault((home[edge.source], home[edge.target]), []).append(edge)
    return replace(
        topology,
        nodes=tuple(nodes[name] for name in sorted(nodes)),
        edges=tuple(together(found, *ends) for ends, found in sorted(edges.items())),
    )
