"""What is counted for an edge: a caller and whom it calls, by which Service, how, and as told by which side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

UNKNOWN = "unknown"  # a caller without an identity of the mesh
OUTSIDE = "outside"  # what is called and has no proxy
HTTP, TCP = "http", "tcp"
CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")  # of status codes; none: there was no answer


class Edge(NamedTuple):
    """Who calls whom: "NAMESPACE/SERVICEACCOUNT", UNKNOWN or OUTSIDE; the Service as "NAMESPACE/NAME/PORT" or ""."""

    source: str
    target: str
    service: str
    protocol: str  # HTTP or TCP
    mtls: bool
    reporter: str = "destination"  # or "source", for what never reached a destination with a proxy


@dataclass(slots=True)
class Counts:
    """How much there was. `sum_us` is of all latencies, `busy_us` of those that were not told of while they lasted."""

    requests: int = 0
    classes: list[int] = field(default_factory=lambda: [0] * len(CLASSES))
    errors: int = 0  # no answer, 5xx, or a gRPC status that says that the server failed
    denied: int = 0  # by an AuthorizationPolicy
    would_deny: int = 0  # by one in mode Audit
    limited: int = 0  # a limit was hit: of connections, of requests, of a rate
    sum_us: int = 0
    busy_us: int = 0
    latencies: dict[int, int] = field(default_factory=dict)  # see histogram.py
    connections: int = 0  # that have ended; of TCP only
    bytes_out: int = 0  # from the caller
    bytes_in: int = 0  # to it

    def add(self, other: Counts) -> None:
        """Count another's as well."""
        self.requests += other.requests
        self.classes = [mine + its for mine, its in zip(self.classes, other.classes, strict=True)]
        self.errors += other.errors
        self.denied += other.denied
        self.would_deny += other.would_deny
        self.limited += other.limited
        self.sum_us += other.sum_us
        self.busy_us += other.busy_us
        for at, count in [*other.latencies.items()]:  # it may grow meanwhile, in another thread
            self.latencies[at] = self.latencies.get(at, 0) + count
        self.connections += other.connections
        self.bytes_out += other.bytes_out
        self.bytes_in += other.bytes_in
