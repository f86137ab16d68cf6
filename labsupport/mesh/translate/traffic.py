"""What a TrafficPolicy adds to Envoy's resources: to a cluster, to a route configuration's host, to its routes.

Fields: config.cluster.v3.Cluster and config.route.v3.RouteAction in Envoy's API reference; how they work together is in
its architecture overview under load balancing, outlier detection, circuit breaking and the fault filter.
"""

from __future__ import annotations

from typing import Any

from labsupport.mesh.api import Object
from labsupport.mesh.traffic import TrafficPolicy
from labsupport.mesh.translate import envoy
from labsupport.mesh.translate.envoy import Json
from labsupport.mesh.translate.filters import seconds

POLICY = "labs.mesh"  # in a cluster's metadata: which policy made it so
_BALANCING = {
    "RoundRobin": "ROUND_ROBIN",
    "LeastRequest": "LEAST_REQUEST",
    "Random": "RANDOM",
    "Hash": "MAGLEV",
}
_RETRY_ON = {
    "GatewayError": "gateway-error",
    "ServerError": "5xx",
    "Reset": "reset",
    "ConnectFailure": "connect-failure",
    "RefusedStream": "refused-stream",
    "Unavailable": "unavailable",
}
_LIMITS = {
    "connections": "max_connections",
    "pendingRequests": "max_pending_requests",
    "requests": "max_requests",
}
# After these the server has not begun with the request, so that it may be sent again whatever its method is.
_NEVER_REACHED = {"ConnectFailure", "RefusedStream"}


def cluster(made: Json, policy: TrafficPolicy | None) -> Json:
    """A cluster with what a policy of its Service says of balancing, of outliers, of limits and of the retry budget."""
    if policy is None:
        return made
    spec = policy.spec
    found = {**made, "metadata": {"filter_metadata": {POLICY: {"traffic_policy": str(policy.name)}}}}
    if balancing := spec.get("loadBalancing"):
        found["lb_policy"] = _BALANCING[balancing["policy"]]
    if "outlier" in spec:
        found["outlier_detection"] = _outlier(spec["outlier"])
    (threshold,) = made["circuit_breakers"]["thresholds"]
    said = spec.get("limits", {})
    limits: Json = {_LIMITS[name]: value for name, value in said.items() if name in _LIMITS}
    if budget := spec.get("retries", {}).get("budget"):
        share = {"value": budget.get("percent", 20)}
        limits["retry_budget"] = {
            "budget_percent": share,
            "min_retry_concurrency": budget.get("minConcurrent", 3),
        }
    return found | {"circuit_breakers": {"thresholds": [threshold | limits]}}


def _outlier(asked: Object) -> Json:
    return {
        "consecutive_5xx": asked.get("consecutiveErrors", 5),
        "enforcing_consecutive_5xx": 100,
        "interval": _duration(asked.get("interval", "10s")),
        "base_ejection_time": _duration(asked.get("baseEjection", "30s")),
        "max_ejection_percent": asked.get("maxEjectedPercent", 50),
        # Envoy would compare Pods with one another besides. What is not asked for must not eject.
        "enforcing_success_rate": 0,
    }


def host(policy: TrafficPolicy | None) -> Json:
    """What of a policy is in the virtual host of a Service's port, for all of its routes together: faults, a rate."""
    spec: Object = policy.spec if policy else {}
    found: list[Json] = []
    if rate := spec.get("limits", {}).get("requestsPerSecond"):
        found.append(envoy.rate(rate))
    if asked := spec.get("faults"):
        fault: Json = {}
        if delay := asked.get("delay"):
            fault["delay"] = {"fixed_delay": _duration(delay["fixed"]), "percentage": _share(delay)}
        if abort := asked.get("abort"):
            fault["abort"] = {"http_status": abort["status"], "percentage": _share(abort)}
        found.append(envoy.fault(**fault))
    return (
        {"typed_per_filter_config": {each["name"]: each["typed_config"] for each in found}} if found else {}
    )


def routes(made: Json, policy: TrafficPolicy | None) -> list[Json]:
    """A route with what a policy says of retries and of hashing.

    Two where some methods may be repeated and others not: Envoy's retry policies know no methods, its matches do.
    """
    action = made.get("route")
    if policy is None or action is None:
        return [made]
    action = action | _hash(policy.spec.get("loadBalancing", {}).get("hash"))
    asked = policy.spec.get("retries")
    if asked is None:
        return [{**made, "route": action}]
    own = {"per_try_timeout": each} if (each := action["retry_policy"].get("per_try_timeout")) else {}
    wanted = {**made, "route": action | {"retry_policy": _retry(asked) | own}}
    harmless = set(asked.get("when", _NEVER_REACHED)) <= _NEVER_REACHED and not asked.get("statusCodes")
    if harmless or not asked["attempts"]:
        return [wanted]
    methods = "|".join(asked.get("methods", ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")))
    match = made["match"]
    only = {"name": ":method", "string_match": {"safe_regex": {"regex": methods}}}
    return [
        wanted | {"match": {**match, "headers": [*match.get("headers", ()), only]}},
        {**made, "route": action},
    ]


def _retry(asked: Object) -> Json:
    on = [_RETRY_ON[each] for each in asked.get("when", sorted(_NEVER_REACHED))]
    found: dict[str, Any] = envoy.RETRY | {"num_retries": asked["attempts"]}
    if codes := asked.get("statusCodes"):
        on.append("retriable-status-codes")
        found["retriable_status_codes"] = codes
    if each := asked.get("perTryTimeout"):
        found["per_try_timeout"] = _duration(each)
    if wait := asked.get("backoff"):
        found["retry_back_off"] = {
            "base_interval": _duration(wait.get("base", "25ms")),
            "max_interval": _duration(wait.get("max", "250ms")),
        }
    return found | {"retry_on": ",".join(on)}


def _hash(asked: Object | None) -> Json:
    if not asked:
        return {}
    if "header" in asked:
        return {"hash_policy": [{"header": {"header_name": asked["header"]}}]}
    cookie: Json = {"name": asked["cookie"]["name"]}
    if "ttl" in asked["cookie"]:
        cookie |= {"ttl": _duration(asked["cookie"]["ttl"]), "path": "/"}
    return {"hash_policy": [{"cookie": cookie}]}


def _share(asked: Object) -> Json:
    return {"numerator": round(asked.get("percent", 100) * 10_000), "denominator": "MILLION"}


def _duration(text: str) -> str:
    return f"{seconds(text)}s"
