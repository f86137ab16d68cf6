"""What was counted, in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written here and not by the library prometheus_client: that would be one more package in every Pod's root and a third of
a second at the control plane's start, for what is forty lines. A test reads it with that library and with Prometheus.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from labsupport.mesh.telemetry.counts import CLASSES, HTTP, TCP, Counts, Edge
from labsupport.mesh.telemetry.histogram import BOUNDS, SHOWN
from labsupport.mesh.telemetry.ledger import Ledger

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, Any]
Sample = tuple[str, Labels, float]  # what follows the name of the family, labels, value


def text(ledger: Ledger, proxies: int) -> str:
    """Everything, to be called where the ledger belongs."""
    found = [(_labels(edge), edge, history.total) for edge, history in sorted(ledger.edges.items())]
    http = [(labels, counts) for labels, edge, counts in found if edge.protocol == HTTP]
    tcp = [(labels, counts) for labels, edge, counts in found if edge.protocol == TCP]
    both = [(labels, counts) for labels, _, counts in found]
    lasting = ledger.lasts()
    lines: list[str] = []

    def family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> None:
        lines.append(f"# HELP {name} {about}\n# TYPE {name} {kind}")
        lines.extend(f"{name}{end}{_braces(labels)} {_number(value)}" for end, labels, value in samples)

    def counter(name: str, about: str, of: Sequence[tuple[Labels, Counts]], key: str) -> None:
        family(name, "counter", about, (("", labels, getattr(counts, key)) for labels, counts in of))

    family("mesh_requests_total", "counter", "Requests that have ended.", _requests(http))
    family(
        "mesh_request_duration_seconds",
        "histogram",
        "From the request's first byte to the answer's last, where it was reported.",
        _durations(http),
    )
    counter("mesh_request_errors_total", "Not answered, 5xx, or a gRPC status that says so.", http, "errors")
    counter("mesh_denied_total", "Refused by an AuthorizationPolicy.", both, "denied")
    counter("mesh_would_deny_total", "Would be refused by one in mode Audit.", both, "would_deny")
    counter("mesh_limited_total", "Refused because a limit was hit.", both, "limited")
    counter("mesh_connections_total", "TCP connections that have ended.", tcp, "connections")
    counter("mesh_connection_errors_total", "TCP connections that reached nobody.", tcp, "errors")
    counter("mesh_bytes_out_total", "From the caller, over TCP.", tcp, "bytes_out")
    counter("mesh_bytes_in_total", "To the caller, over TCP.", tcp, "bytes_in")
    covered, window = ledger.window(0)
    busy = {edge: counts.busy_us for edge, counts in window}
    family(
        "mesh_in_flight",
        "gauge",
        "Requests and connections under way: those that last, and of the shorter ones as many as on average.",
        (
            ("", labels, round(lasting.get(edge, 0) + busy.get(edge, 0) / 1e6 / covered, 3))
            for labels, edge, _ in found
        ),
    )
    for name, kind, about, value in (
        ("mesh_proxies", "gauge", "Proxies that are connected.", proxies),
        ("mesh_telemetry_entries_total", "counter", "Access log entries that were taken.", ledger.entries),
        ("mesh_telemetry_lost_total", "counter", "Entries that could not be read or counted.", ledger.lost),
        ("mesh_telemetry_start_time_seconds", "gauge", "Since when is counted.", ledger.since),
    ):
        family(name, kind, about, [("", {}, value)])
    return "\n".join(lines) + "\n"


def _labels(edge: Edge) -> dict[str, Any]:
    return {
        "source": edge.source,
        "destination": edge.target,
        "service": edge.service,
        "protocol": edge.protocol,
        "mtls": str(edge.mtls).lower(),
        "reporter": edge.reporter,
    }


def _requests(found: Iterable[tuple[Labels, Counts]]) -> Iterator[Sample]:
    for labels, counts in found:
        for name, count in zip(CLASSES, counts.classes, strict=True):
            if count:
                yield "", {**labels, "code_class": name}, count


def _durations(found: Iterable[tuple[Labels, Counts]]) -> Iterator[Sample]:
    for labels, counts in found:
        below, done = 0, -1
        for shown in SHOWN:
            below += sum(counts.latencies.get(at, 0) for at in range(done + 1, shown + 1))
            done = shown
            yield "_bucket", {**labels, "le": f"{BOUNDS[shown] / 1e6:g}"}, below
        yield "_bucket", {**labels, "le": "+Inf"}, counts.requests
        yield "_sum", labels, counts.sum_us / 1e6
        yield "_count", labels, counts.requests


def _braces(labels: Labels) -> str:
    inside = ",".join(f'{name}="{_escaped(str(value))}"' for name, value in labels.items())
    return f"{{{inside}}}" if inside else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return repr(value) if isinstance(value, float) else str(value)
