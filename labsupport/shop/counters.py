"""What a service counts about itself: as JSON, and as text that Prometheus reads.

Text: the Prometheus exposition format, version 0.0.4.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds


class Counters:
    """Requests by status, their durations, connections. Safe for many threads."""

    def __init__(self, service: str, version: str) -> None:
        self._labels = f'service="{service}",version="{version}"'
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._opened = 0
        self._open = 0

    def connection(self, change: int) -> None:
        """A connection came (1) or went (-1)."""
        with self._lock:
            self._opened += max(0, change)
            self._open += change

    def request(self, status: str, seconds: float) -> None:
        """A request was answered with `status` (`lost` where its answer was withheld)."""
        with self._lock:
            self._requests[status] += 1
            self._seconds += seconds
            self._buckets[sum(seconds > bound for bound in BOUNDS)] += 1

    def as_dict(self) -> dict[str, Any]:
        """The counters as JSON has them."""
        with self._lock:
            return {
                "requests": dict(sorted(self._requests.items())),
                "seconds": round(self._seconds, 6),
                "connections": {"opened": self._opened, "open": self._open},
            }

    def as_text(self) -> str:
        """The counters in Prometheus' text format."""
        with self._lock:
            lines = ["# TYPE shop_requests_total counter"]
            lines += [
                f'shop_requests_total{{{self._labels},code="{code}"}} {count}'
                for code, count in sorted(self._requests.items())
            ]
            lines.append("# TYPE shop_request_seconds histogram")
            total = 0
            for bound, count in zip([*map(str, BOUNDS), "+Inf"], self._buckets, strict=True):
                total += count
                lines.append(f'shop_request_seconds_bucket{{{self._labels},le="{bound}"}} {total}')
            lines.append(f"shop_request_seconds_sum{{{self._labels}}} {self._seconds:.6f}")
            lines.append(f"shop_request_seconds_count{{{self._labels}}} {total}")
            lines.append("# TYPE shop_connections_total counter")
            lines.append(f"shop_connections_total{{{self._labels}}} {self._opened}")
            lines.append("# TYPE shop_connections_open gauge")
            lines.append(f"shop_connections_open{{{self._labels}}} {self._open}")
        return "\n".join(lines) + "\n"
