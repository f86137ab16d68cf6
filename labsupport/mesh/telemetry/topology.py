"""The mesh as a graph: who is there, who calls whom, how much, how well. Plain data, for the page, the CLI, widgets."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from labsupport.mesh.api import Name, Workload
from labsupport.mesh.model import Model
from labsupport.mesh.telemetry.counts import OUTSIDE, TCP, UNKNOWN, Counts, Edge
from labsupport.mesh.telemetry.histogram import quantile
from labsupport.mesh.telemetry.ledger import Ledger
from labsupport.mesh.telemetry.places import workload_id

GATEWAY = "gateway.networking.k8s.io/gateway-name"  # label of what belongs to a Gateway (GEP-1762)


def topology(ledger: Ledger, model: Model, connected: Set[Name], seconds: float = 60) -> dict[str, Any]:
    """Everything of the last `seconds` (5 to 300); README.md lists the keys. Rates are a second."""
    covered, found = ledger.window(seconds)
    merged: dict[Edge, Counts] = {}
    for edge, counts in found:
        whole = edge._replace(reporter="")
        if whole in merged:
            merged[whole].add(counts)
        else:
            merged[whole] = counts
    lasting: dict[Edge, int] = {}
    for edge, count in ledger.lasts().items():
        whole = edge._replace(reporter="")
        lasting[whole] = lasting.get(whole, 0) + count
        merged.setdefault(whole, Counts())
    edges = [_edge(each, merged[each], lasting.get(each, 0), covered) for each in sorted(merged)]
    named = {each for edge in merged for each in (edge.source, edge.target)}
    return {
        "at": ledger.now(),
        "seconds": round(covered, 1),
        "nodes": nodes(model, connected, named),
        "edges": edges,
        "lost": ledger.lost,
    }


def _edge(edge: Edge, counts: Counts, lasting: int, seconds: float) -> dict[str, Any]:
    tcp = edge.protocol == TCP
    count = counts.connections + lasting if tcp else counts.requests
    return {
        "from": edge.source,
        "to": edge.target,
        "service": edge.service,
        "protocol": edge.protocol,
        "mtls": edge.mtls,
        "requests": counts.requests,
        "rate": round((counts.connections if tcp else counts.requests) / seconds, 3),
        "errors": counts.errors,
        "error_share": round(counts.errors / count, 6) if count else 0.0,
        "denied": counts.denied,
        "would_deny": counts.would_deny,
        **{f"p{each}_ms": quantile(counts.latencies, each / 100) for each in (50, 90, 99)},
        "in_flight": round(lasting + counts.busy_us / 1e6 / seconds, 2),
        "limited": counts.limited,
        "connections": count if tcp else 0,
        "bytes_out": counts.bytes_out,
        "bytes_in": counts.bytes_in,
    }


def nodes(model: Model, connected: Set[Name], named: Set[str]) -> list[dict[str, Any]]:
    """All workloads with a proxy by their identity, and whoever else is named by an edge."""
    groups: dict[str, list[Workload]] = {each: [] for each in named}
    for workload in model.workloads.values():
        groups.setdefault(workload_id(workload), []).append(workload)
    return [_node(name, groups[name], model, connected) for name in sorted(groups)]


def _node(name: str, group: list[Workload], model: Model, connected: Set[Name]) -> dict[str, Any]:
    namespace, _, account = name.rpartition("/")
    kind = "workload"
    if name in (UNKNOWN, OUTSIDE):
        kind = name
    elif any(GATEWAY in each.labels for each in group):
        kind = "gateway"
    return {
        "id": name,
        "namespace": namespace,
        "account": account if namespace else "",
        "workloads": sorted({owner(each) for each in group}),
        "kind": kind,
        "ready": sum(1 for each in group if ready(model, each.name)),
        "proxies": sum(1 for each in group if each.name in connected),
    }


def owner(workload: Workload) -> str:
    """What a Pod belongs to, by its name and the labels that controllers give: a Deployment, a StatefulSet, itself."""
    name, labels = workload.name.name, workload.labels
    if of := labels.get("pod-template-hash"):
        return name.rpartition(f"-{of}-")[0] or name
    if "apps.kubernetes.io/pod-index" in labels or "controller-revision-hash" in labels:
        return name.rpartition("-")[0] or name
    return name


def ready(model: Model, pod: Name) -> bool:
    """Whether a Pod is ready as far as Services know; one that is behind none counts as ready."""
    said = [
        endpoint.ready
        for service in model.services_of[pod]
        for each in model.slices_of[service]
        for endpoint in model.slices[each].endpoints
        if endpoint.pod == pod
    ]
    return all(said)
