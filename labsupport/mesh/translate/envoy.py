"""Envoy's messages as plain JSON, the few shapes that are used again and again.

What a field means is in Envoy's API reference (https://www.envoyproxy.io/docs/envoy/latest/api-v3/api).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

TYPE = _TYPE = "type.googleapis.com/envoy."
CLUSTER = f"{_TYPE}config.cluster.v3.Cluster"
ENDPOINTS = f"{_TYPE}config.endpoint.v3.ClusterLoadAssignment"
LISTENER = f"{_TYPE}config.listener.v3.Listener"
ROUTES = f"{_TYPE}config.route.v3.RouteConfiguration"
SECRET = f"{_TYPE}extensions.transport_sockets.tls.v3.Secret"
EXTENSION = f"{_TYPE}config.core.v3.TypedExtensionConfig"
# Over one ADS stream: what another kind refers to goes first (make before break).
PUSH_ORDER = (CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET, EXTENSION)

HTTP_PROTOCOLS = ["http/1.1", "http/1.0", "h2c"]  # as the inspector of first bytes calls them
ADS = {"ads": {}, "resource_api_version": "V3"}
SO_MARK = {"level": 1, "name": 36, "state": "STATE_PREBIND"}  # SOL_SOCKET, SO_MARK, before connect(2)
RAW = {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
    "@type": f"{_TYPE}extensions.transport_sockets.raw_buffer.v3.RawBuffer"
}}  # fmt: skip
# Refused or never reached: the other side has not begun with the request, so that any request may be sent again.
RETRY = {"retry_on": "connect-failure,refused-stream", "num_retries": 2, "retry_host_predicate": [
    {"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
        "@type": f"{_TYPE}extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}
], "host_selection_retry_max_attempts": "3"}  # fmt: skip
# Envoy's own limits of 1,024 connections and requests would surprise: without a mesh there are none. Retries keep its
# default budget.
_NONE = 4294967295  # the largest number that the fields take
UNLIMITED = {"thresholds": [{
    "max_connections": _NONE, "max_pending_requests": _NONE, "max_requests": _NONE,
    "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
}]}  # fmt: skip
FAULT = "envoy.filters.http.fault"
RATE = "envoy.filters.http.local_ratelimit"
# One line for each request or connection that failed, with the reason; kubectl logs shows it.
FAILURE_FORMAT = (
    "%START_TIME% %RESPONSE_FLAGS% %REQ(:METHOD)% %REQ(:AUTHORITY)%%REQ(:PATH)% %RESPONSE_CODE% "
    "to %UPSTREAM_CLUSTER% %UPSTREAM_HOST% from %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_PEER_URI_SAN% "
    "for %DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_TRANSPORT_FAILURE_REASON%%DOWNSTREAM_TRANSPORT_FAILURE_REASON%"
    "%CONNECTION_TERMINATION_DETAILS%\n"
)


def typed(name: str, message: str, **fields: Any) -> Json:
    """An extension: its name, and its configuration of the type `message` (without `envoy.` in front)."""
    return {"name": name, "typed_config": {"@type": f"{_TYPE}{message}", **fields}}


def address(host: str, port: int) -> Json:
    """A TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}


def failures() -> list[Json]:
    """An access log of what went wrong, on standard output."""
    line = {"text_format_source": {"inline_string": FAILURE_FORMAT}}
    log = typed(
        "envoy.access_loggers.stdout", "extensions.access_loggers.stream.v3.StdoutAccessLog", log_format=line
    )
    return [{**log, "filter": {"response_flag_filter": {}}}]


def http(
    name: str,
    *,
    routes: Json | None = None,
    rds: str = "",
    filters: Iterable[Json] = (),
    access_log: Iterable[Json] = (),
    **fields: Any,
) -> Json:
    """The network filter that speaks HTTP: routes inline, or by name over ADS."""
    router = typed(
        "envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True
    )
    where: Json = (
        {"rds": {"config_source": ADS, "route_config_name": rds}} if rds else {"route_config": routes}
    )
    made = typed(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        access_log=[*failures(), *access_log],
        http_filters=[*filters, router],
        # Without a mesh nobody ends a slow stream, adds a Server header or refuses HTTP/1.0.
        stream_idle_timeout="0s",
        server_header_transformation="PASS_THROUGH",
        http_protocol_options={"accept_http_10": True},
        http2_protocol_options={"allow_connect": True},
        upgrade_configs=[{"upgrade_type": "websocket"}],
        **where,
    )
    made["typed_config"] |= fields
    return made


def governed() -> list[Json]:
    """The HTTP filters of which routes ask by a TrafficPolicy: a rate, then faults. Else they do nothing."""
    return [rate(), fault()]


def rate(a_second: int = 0) -> Json:
    """The HTTP filter for a rate of requests: what is over is answered 429 at once, to gRPC as RESOURCE_EXHAUSTED."""
    kind = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
    if not a_second:
        return typed(RATE, kind, stat_prefix="rate")
    all_ = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": a_second, "tokens_per_fill": a_second, "fill_interval": "1s"}
    return typed(
        RATE,
        kind,
        stat_prefix="rate",
        token_bucket=bucket,
        filter_enabled=all_,
        filter_enforced=all_,
        rate_limited_as_resource_exhausted=True,
        response_headers_to_add=[{"header": {"key": "x-envoy-ratelimited", "value": "true"}}],
    )


def fault(**asked: Json) -> Json:
    """The HTTP filter for faults: without `delay` and `abort` it does nothing, unless a route says more."""
    return typed(FAULT, "extensions.filters.http.fault.v3.HTTPFault", **asked)


def tcp(name: str, cluster: str, *, access_log: Iterable[Json] = (), **fields: Any) -> Json:
    """The network filter that passes bytes on to a cluster."""
    return typed(
        "envoy.filters.network.tcp_proxy",
        "extensions.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=name,
        cluster=cluster,
        access_log=[*failures(), *access_log],
        **fields,
    )


def original_dst() -> Json:
    """The listener filter that finds where a redirected connection was going."""
    return typed(
        "envoy.filters.listener.original_dst", "extensions.filters.listener.original_dst.v3.OriginalDst"
    )


def inspectors() -> list[Json]:
    """The listener filters that look at the first bytes: TLS, and which HTTP."""
    return [
        typed(
            f"envoy.filters.listener.{name}_inspector",
            f"extensions.filters.listener.{name}_inspector.v3.{kind}",
        )
        for name, kind in (("tls", "TlsInspector"), ("http", "HttpInspector"))
    ]


def http_options(**explicit: Json) -> Json:
    """A cluster's protocol towards its endpoints: `http_protocol_options={}` or `http2_protocol_options={}`."""
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {kind: {"@type": f"type.googleapis.com/{kind}", "explicit_http_config": explicit}}


HTTP1 = http_options(http_protocol_options={})
HTTP2 = http_options(http2_protocol_options={"allow_connect": True})
