"""Which TrafficPolicy a proxy runs for a Service's port, in words; from Envoy's own JSON, as running.py has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from labsupport.mesh.translate import envoy, traffic

Json = Mapping[str, Any]
_BALANCING = {"ROUND_ROBIN": "in turns", "RANDOM": "at random", "MAGLEV": "by hash"}
_LIMITS = {
    "max_connections": "{} connections",
    "max_pending_requests": "{} waiting requests",
    "max_requests": "{} open requests",
}


def name(cluster: Json) -> str:
    """The policy that a cluster was made with, "shop/steady"; "" if none holds."""
    metadata = (cluster.get("metadata") or {}).get("filter_metadata") or {}
    return str((metadata.get(traffic.POLICY) or {}).get("traffic_policy", ""))


def words(cluster: Json, routes: Json) -> tuple[str, ...]:
    """What holds for a port beyond what always does: of its cluster, and of its route configuration."""
    if not name(cluster):
        return ()
    hosts = routes.get("virtual_hosts") or ()
    return (*_cluster(cluster), *(word for host in hosts for word in _faults(host)))


def _cluster(cluster: Json) -> Iterator[str]:
    if said := _BALANCING.get(cluster.get("lb_policy", "")):
        yield said
    (usual,) = envoy.UNLIMITED["thresholds"]
    for threshold in (cluster.get("circuit_breakers") or {}).get("thresholds") or ():
        for key, text in _LIMITS.items():
            if threshold.get(key, usual[key]) != usual[key]:
                yield "at most " + text.format(threshold[key])
        budget = threshold.get("retry_budget") or {}
        if budget != usual["retry_budget"]:
            share = (budget.get("budget_percent") or {}).get("value", 0)
            yield f"retries at most {share:g} % of open requests, or {budget.get('min_retry_concurrency', 0)}"
    if outlier := cluster.get("outlier_detection"):
        yield f"left out for {outlier['base_ejection_time']} after {outlier['consecutive_5xx']} errors"


def _faults(host: Json) -> Iterator[str]:
    fault = (host.get("typed_per_filter_config") or {}).get(envoy.FAULT) or {}
    if delay := fault.get("delay"):
        yield f"delayed by {delay['fixed_delay']} ({_share(delay)})"
    if abort := fault.get("abort"):
        yield f"aborted with {abort['http_status']} ({_share(abort)})"


def _share(fault: Json) -> str:
    return f"{fault['percentage'].get('numerator', 0) / 10_000:g} %"


def retries(action: Json) -> list[str]:
    """The retries of a route's action, where they are not the usual ones."""
    asked: Json = action.get("retry_policy") or envoy.RETRY
    if all(asked.get(key) == envoy.RETRY[key] for key in ("retry_on", "num_retries")):
        return []
    each = f", each within {asked['per_try_timeout']}" if "per_try_timeout" in asked else ""
    return [
        f"tried {asked.get('num_retries', 1)} times more after {asked['retry_on'].replace(',', ', ')}{each}"
    ]
