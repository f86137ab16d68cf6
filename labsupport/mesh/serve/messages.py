"""Envoy's messages in protobuf, made from JSON.

An Any can only be made of messages whose Python modules were imported: all that translation uses are here.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import dataclass

from google.protobuf import any_pb2, json_format

from labsupport.mesh.translate.envoy import Json

_MODULES = (
    "google.protobuf.wrappers_pb2",
    "envoy.config.cluster.v3.cluster_pb2",
    "envoy.config.core.v3.extension_pb2",
    "envoy.config.endpoint.v3.endpoint_pb2",
    "envoy.config.listener.v3.listener_pb2",
    "envoy.config.route.v3.route_pb2",
    "envoy.config.trace.v3.opentelemetry_pb2",
    "envoy.extensions.access_loggers.filters.cel.v3.cel_pb2",
    "envoy.extensions.access_loggers.grpc.v3.als_pb2",
    "envoy.extensions.access_loggers.stream.v3.stream_pb2",
    "envoy.extensions.clusters.dynamic_forward_proxy.v3.cluster_pb2",
    "envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2",
    "envoy.extensions.filters.http.fault.v3.fault_pb2",
    "envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2",
    "envoy.extensions.filters.http.rbac.v3.rbac_pb2",
    "envoy.extensions.filters.http.router.v3.router_pb2",
    "envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2",
    "envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2",
    "envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2",
    "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2",
    "envoy.extensions.filters.network.rbac.v3.rbac_pb2",
    "envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2",
    "envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2",
    "envoy.extensions.matching.common_inputs.network.v3.network_inputs_pb2",
    "envoy.extensions.matching.input_matchers.ip.v3.ip_pb2",
    "envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2",
    "envoy.extensions.tracers.opentelemetry.resource_detectors.v3.environment_resource_detector_pb2",
    "envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2",
    "envoy.extensions.transport_sockets.tls.v3.secret_pb2",
    "envoy.extensions.transport_sockets.tls.v3.tls_pb2",
    "envoy.extensions.upstreams.http.v3.http_protocol_options_pb2",
)
for _name in _MODULES:
    importlib.import_module(_name)


@dataclass(frozen=True)
class Encoded:
    """A resource as Envoy gets it. `version` is a digest of its content, so that it is the same after a restart."""

    body: any_pb2.Any
    version: str


def encode(type_url: str, body: Json) -> Encoded:
    """Translate JSON. ValueError (json_format.ParseError) says which field is unknown or of a wrong type, and where."""
    message = any_pb2.Any()
    json_format.ParseDict({"@type": type_url, **body}, message)
    # Of the JSON: protobuf writes the entries of a map in any order, which differs from one process to the next.
    content = json.dumps(body, sort_keys=True).encode()
    return Encoded(message, hashlib.sha256(content).hexdigest()[:16])
