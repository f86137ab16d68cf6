"""What proxies tell of traffic: access logs to the control plane, spans to a collector.

All proxies use the same few log names, so that one has two streams at most for each direction. Envoy sends what it has
seen every second, or as soon as it is much.
"""

from __future__ import annotations

from labsupport.mesh import names
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy
from labsupport.mesh.translate.envoy import Json

INBOUND, OUTBOUND = "inbound", "outbound"
FLUSH = "1s"
# Bytes, some 200 requests: beyond that a message goes before its second is over. With the control plane away, this much
# is kept for it, and what comes then is lost.
BUFFER = 128 * 1024
PERIOD = "5s"  # what lasts longer is told of while it does; telemetry/ledger.py has the same number
# The source tells only of what the destination's proxy cannot: what went wrong on the way, or went to no proxy.
_UNSEEN = "response.flags != 0 || !has(upstream.tls_version)"
_LOGS = "extensions.access_loggers"


def http(model: Model, name: str) -> Json:
    """The fields of an HTTP connection manager that make it report, `name` being INBOUND or OUTBOUND."""
    found: Json = {}
    if model.settings.telemetry:
        log = envoy.typed(
            "envoy.access_loggers.http_grpc",
            f"{_LOGS}.grpc.v3.HttpGrpcAccessLogConfig",
            common_config=_common(name),
            # A gRPC status is in a trailer, or in a header where there is no body.
            additional_request_headers_to_log=["traceparent"],
            additional_response_headers_to_log=["grpc-status"],
            additional_response_trailers_to_log=["grpc-status"],
        )
        found = {
            "access_log": [_seen(log, name)],
            "access_log_options": {"access_log_flush_interval": PERIOD},
        }
    return found


def tcp(model: Model, name: str) -> Json:
    """The fields of a TCP proxy that make it report."""
    if not model.settings.telemetry:
        return {}
    log = envoy.typed(
        "envoy.access_loggers.tcp_grpc",
        f"{_LOGS}.grpc.v3.TcpGrpcAccessLogConfig",
        common_config=_common(name),
    )
    return {
        "access_log": [_seen(log, name)],
        "access_log_options": {"access_log_flush_interval": PERIOD},
    }


def _common(name: str) -> Json:
    return {
        "log_name": name,
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": names.CONTROL_CLUSTER}},
        "buffer_flush_interval": FLUSH,
        "buffer_size_bytes": BUFFER,
    }


def _seen(log: Json, name: str) -> Json:
    if name == INBOUND:
        return log
    unseen = envoy.typed(
        "envoy.access_loggers.extension_filters.cel",
        f"{_LOGS}.filters.cel.v3.ExpressionFilter",
        expression=_UNSEEN,
    )
    return {**log, "filter": {"extension_filter": unseen}}
