"""What was counted, in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written here and not by the library prometheus_client: that would be one more package in every Pod's root and a third of
a second at the control plane's start, for what is forty lines. A test reads it with that library and with Prometheus.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from operator import itemgetter

from labsupport.mesh.telemetry.counts import CLASSES, HTTP, TCP, Counts, Edge
from labsupport.mesh.telemetry.histogram import BOUNDS, SHOWN
from labsupport.mesh.telemetry.ledger import Ledger

_LE = (*(f'le="{BOUNDS[each] / 1e6:g}"' for each in SHOWN), 'le="+Inf"')
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[str, str, float]  # what follows the name of the family, labels as they are written, value


def text(ledger: Ledger, proxies: int) -> str:
    """Everything; in any thread."""
    found = [
        (_labels(edge), edge, history.total)
        for edge, history in sorted([*ledger.edges.items()], key=itemgetter(0))
    ]
    http = [(labels, counts) for labels, edge, counts in found if edge.protocol == HTTP]
    tcp = [(labels, counts) for labels, edge, counts in found if edge.protocol == TCP]
    both = [(labels, counts) for labels, _, counts in found]
    lasting = ledger.lasts()
    lines: list[str] = []

    def family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> None:
        lines.append(f"# HELP {name} {about}\n# TYPE {name} {kind}")
        for end, labels, value in samples:
            lines.append(f"{name}{end}{{{labels}}} {value}" if labels else f"{name}{end} {value}")

    def counter(name: str, about: str, of: Sequence[tuple[str, Counts]], key: str) -> None:
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
        family(name, kind, about, [("", "", value)])
    return "\n".join(lines) + "\n"


def _labels(edge: Edge) -> str:
    said = (
        ("source", edge.source),
        ("destination", edge.target),
        ("service", edge.service),
        ("protocol", edge.protocol),
        ("mtls", str(edge.mtls).lower()),
        ("reporter", edge.reporter),
    )
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in said)


def _requests(found: Iterable[tuple[str, Counts]]) -> Iterator[Sample]:
    for labels, counts in found:
        for name, count in zip(CLASSES, counts.classes, strict=True):
            if count:
                yield "", f'{labels},code_class="{name}"', count


def _durations(found: Iterable[tuple[str, Counts]]) -> Iterator[Sample]:
    for labels, counts in found:
        within = [0] * (len(SHOWN) + 1)
        for at, count in [*counts.latencies.items()]:
            within[bisect_left(SHOWN, at)] += count
        for bound, below in zip(_LE, accumulate(within), strict=True):
            yield "_bucket", f"{labels},{bound}", below
        yield "_sum", labels, counts.sum_us / 1e6
        yield "_count", labels, sum(within)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
