"""What proxies tell of traffic: access logs to the control plane, spans to a collector.

All proxies use the same few log names, so that one has two streams at most for each direction. Envoy sends what it has
seen every second, or as soon as it is much.
"""

from __future__ import annotations

from dataclasses import replace

from labsupport.mesh import api, names
from labsupport.mesh.api import Workload
from labsupport.mesh.model import Model
from labsupport.mesh.translate import envoy
from labsupport.mesh.translate.envoy import Json

INBOUND, OUTBOUND = "inbound", "outbound"
FLUSH = "1s"
# Bytes, some 200 requests: beyond that a message goes before its second is over. With the control plane away, this much
# is kept for it, and what comes then is lost.
BUFFER = 128 * 1024
PERIOD = "5s"  # what lasts longer is told of while it does; telemetry/ledger.py has the same number
# The source tells only of what the destination's proxy cannot: what went wrong on the way, or went to no proxy. The
# scheme, matched to the way upstream, would cost less than an expression and say nearly the same; but it is the
# application's to see, and of a request that is tried again elsewhere it says where it went first.
_UNSEEN = "response.flags != 0 || !has(upstream.tls_version)"
_LOGS = "extensions.access_loggers"
_DETECTORS = "extensions.tracers.opentelemetry.resource_detectors"


def http(model: Model, name: str) -> Json:
    """The fields of an HTTP connection manager that make it report, `name` being INBOUND or OUTBOUND."""
    found = tracing(model)
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
        found |= {
            "access_log": [_seen(log, name)],
            "access_log_options": {"access_log_flush_interval": PERIOD},
        }
    return found


def tracing(model: Model) -> Json:
    """The field of an HTTP connection manager that makes spans (W3C trace context, OTLP over gRPC).

    A request that comes with a traceparent is as sampled as that says; of the others, a share. Nothing where the
    collector cannot be sent to: Envoy would refuse the listener, or send nothing.
    """
    asked = model.settings.tracing
    if asked is None or no_collector(model):
        return {}
    environment = f"{_DETECTORS}.v3.EnvironmentResourceDetectorConfig"
    provider = envoy.typed(
        "envoy.tracers.opentelemetry",
        "config.trace.v3.OpenTelemetryConfig",
        grpc_service={"envoy_grpc": {"cluster_name": f"{asked.service}/{asked.port}"}, "timeout": "5s"},
        # The proxy's own name and Pod, which its helper puts there: listeners are the same for many proxies.
        resource_detectors=[
            envoy.typed("envoy.tracers.opentelemetry.resource_detectors.environment", environment)
        ],
    )
    return {"tracing": {"random_sampling": {"value": asked.percent}, "provider": provider}}


def no_collector(model: Model) -> str:
    """Why no spans can be sent to where the MeshConfig says, for its status; "" where they can, or need not."""
    asked = model.settings.tracing
    if asked is None:
        return ""
    service = model.services.get(asked.service)
    if service is None:
        return f"there is no Service {asked.service}"
    port = service.port(asked.port)
    if port is None:
        there = ", ".join(str(each.number) for each in service.ports) or "none"
        return f"Service {asked.service} has no port {asked.port}; its ports: {there}"
    if port.protocol != api.HTTP2:
        return f"port {asked.port} of Service {asked.service} does not say that it speaks gRPC: name it grpc"
    return ""


def untraced(model: Model, workload: Workload) -> Model:
    """The model, without tracing if this is the collector: a span sent to it must not make the next one."""
    asked = model.settings.tracing
    service = model.services.get(asked.service) if asked else None
    if service is None or not service.selects(workload):
        return model
    return model.with_settings(replace(model.settings, tracing=None))


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
