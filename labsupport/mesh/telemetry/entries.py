"""Reads the entries of Envoy's access log (envoy.data.accesslog.v3), one by one; usual.py has what most are read by."""

from __future__ import annotations

from typing import Any, NamedTuple

from envoy.config.core.v3 import base_pb2 as core
from envoy.data.accesslog.v3 import accesslog_pb2

from labsupport.mesh.telemetry.counts import CLASSES, Counts
from labsupport.mesh.telemetry.histogram import index
from labsupport.mesh.telemetry.ledger import PERIOD

Entry = Any  # HTTPAccessLogEntry or TCPAccessLogEntry; the library brings no types

_LASTING = (accesslog_pb2.DownstreamPeriodic, accesslog_pb2.DownstreamStart, accesslog_pb2.TcpPeriodic)
# Statuses of gRPC by which a server says that it failed: unknown, deadline exceeded, unimplemented, internal,
# unavailable, data loss (https://grpc.io/docs/guides/status-codes/).
_GRPC_ERRORS = ("2", "4", "12", "13", "14", "15")
_DENIED = "rbac_access_denied_matched_policy["
_RBAC = ("envoy.filters.http.rbac", "envoy.filters.network.rbac")
_PREFIXES = ("deny_", "allow_", "")  # translate/authorization.py gives the first two
_PERIOD_US = PERIOD * 1_000_000


def class_of(code: int) -> int:
    """The place of a status code in CLASSES."""
    return min(code // 100, len(CLASSES) - 1)


class Outcome(NamedTuple):
    """What became of a request or a connection."""

    code: int = 0
    error: bool = False
    denied: bool = False
    would_deny: bool = False
    limited: bool = False
    policy: str = ""  # "NAMESPACE/NAME/RULE" that refused it, or would have; "none": no rule allowed it


def outcome(entry: Entry) -> Outcome:
    """Of an HTTP request."""
    common, response = entry.common_properties, entry.response
    code, details = response.response_code.value, response.response_code_details
    flags = common.response_flags
    status = response.response_trailers.get("grpc-status") or response.response_headers.get("grpc-status")
    failed = status in _GRPC_ERRORS
    denied, policy = denial(details)
    would, by = shadow(common.metadata)
    limited = flags.upstream_overflow or flags.rate_limited or details == "local_rate_limited"
    error = code == 0 or code >= 500 or failed
    return Outcome(500 if failed and code < 500 else code, error, denied, would, limited, policy or by)


def tcp_outcome(entry: Entry) -> Outcome:
    """Of a connection."""
    common = entry.common_properties
    flags = common.response_flags
    denied, policy = denial(common.connection_termination_details)
    would, by = shadow(common.metadata)
    failed = (
        flags.upstream_connection_failure
        or flags.no_healthy_upstream
        or flags.no_route_found
        or flags.no_cluster_found
        or flags.upstream_overflow
    )
    return Outcome(0, failed, denied, would, flags.upstream_overflow, policy or by)


def denial(details: str) -> tuple[bool, str]:
    """Whether Envoy's RBAC refused it, and by which policy."""
    return (True, details[len(_DENIED) : -1]) if details.startswith(_DENIED) else (False, "")


def shadow(metadata: Any) -> tuple[bool, str]:
    """Whether a policy in mode Audit would have refused it, and which one ("none": no rule would have allowed it)."""
    held = metadata.filter_metadata
    for name in _RBAC:
        if name in held:  # there too where policies are in force: it must not cost much
            fields = held[name].fields
            for prefix in _PREFIXES:
                result = f"{prefix}shadow_engine_result"
                if result in fields and fields[result].string_value == "denied":
                    policy = f"{prefix}shadow_effective_policy_id"
                    return True, fields[policy].string_value if policy in fields else "none"
    return False, ""


def counted(entry: Entry, result: Outcome) -> Counts:
    """One request that has ended."""
    spent = entry.common_properties.duration
    microseconds = spent.seconds * 1_000_000 + spent.nanos // 1000
    counts = Counts(requests=1, errors=int(result.error), denied=int(result.denied))
    counts.would_deny, counts.limited = int(result.would_deny), int(result.limited)
    counts.classes[class_of(result.code)] = 1
    counts.sum_us = microseconds
    counts.busy_us = microseconds if microseconds < _PERIOD_US else 0
    counts.latencies[index(microseconds)] = 1
    return counts


def lasts(entry: Entry) -> bool:
    """Whether it tells of something that has not ended."""
    return entry.common_properties.access_log_type in _LASTING


def caller(entry: Entry) -> tuple[str, str]:
    """The caller's SPIFFE ID and what it says it calls (SNI), as far as it came by TLS."""
    return seen_by(entry.common_properties.tls_properties)


def seen_by(tls: Any) -> tuple[str, str]:
    """The same, of the TLSProperties of a connection."""
    peer = tls.peer_certificate_properties.subject_alt_name
    return peer[0].uri if peer else "", tls.tls_sni_hostname


def method(number: int) -> str:
    """The name of a request's method."""
    found: str = core.RequestMethod.Name(number)
    return "" if number == 0 else found
