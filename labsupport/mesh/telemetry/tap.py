"""Requests as they end, one by one, for those who look on. Nothing is made for nobody."""

from __future__ import annotations

import queue
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labsupport.mesh.telemetry import entries
from labsupport.mesh.telemetry.counts import HTTP, Edge
from labsupport.mesh.telemetry.places import Reporter

WAITING = 2_000  # lines that one who looks on may be behind; what comes then is left out, and counted


@dataclass(frozen=True)
class Filter:
    """What somebody wants to see. Empty means all; `path` is a beginning, `status` a code or a class as "5xx"."""

    source: str = ""
    target: str = ""
    path: str = ""
    status: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        """From the query of GET /tap."""
        return cls(*(query.get(each, "") for each in ("from", "to", "path", "status")))

    def takes(self, line: Mapping[str, Any]) -> bool:
        """Whether it wants a line."""
        return (
            _is(line["from"], self.source)
            and _is(line["to"], self.target)
            and str(line["path"]).startswith(self.path)
            and (not self.status or _status(str(line["status"]), self.status))
        )


def _is(node: str, asked: str) -> bool:
    """A node by its id, by its account alone, or a namespace's all ("shop/")."""
    return (
        not asked
        or node == asked
        or node.endswith(f"/{asked}")
        or (asked[-1] == "/" and node.startswith(asked))
    )


def _status(code: str, asked: str) -> bool:
    return code == asked or (asked.endswith("xx") and len(code) == 3 and code[0] == asked[0])


@dataclass(eq=False)
class Tap:
    """One who looks on. Lines come in the event loop's thread, and are taken in another."""

    filter: Filter = Filter()
    lines: queue.Queue[dict[str, Any]] = field(default_factory=lambda: queue.Queue(WAITING))
    left_out: int = 0

    def show(self, line: dict[str, Any]) -> None:
        """Show a line, if it is wanted."""
        if self.filter.takes(line):
            try:
                self.lines.put_nowait(line)
            except queue.Full:
                self.left_out += 1


class Taps:
    """All who look on."""

    def __init__(self) -> None:
        self.open: frozenset[Tap] = frozenset()  # replaced as a whole: other threads come and go

    def join(self, tap: Tap) -> None:
        """From now on."""
        self.open |= {tap}

    def leave(self, tap: Tap) -> None:
        """No more."""
        self.open -= {tap}

    def http(self, edge: Edge, reporter: Reporter, entry: Any) -> None:
        """A request has ended."""
        self._show(line(edge, reporter, entry, entries.outcome(entry)))

    def tcp(self, edge: Edge, reporter: Reporter, entry: Any) -> None:
        """A connection has ended."""
        self._show(line(edge, reporter, entry, entries.tcp_outcome(entry)))

    def _show(self, made: dict[str, Any]) -> None:
        for each in self.open:
            each.show(made)


def line(edge: Edge, reporter: Reporter, entry: Any, result: entries.Outcome) -> dict[str, Any]:
    """What is told of a request or a connection. `at`: when it began, seconds since the epoch; `ms`: how long."""
    common = entry.common_properties
    start, spent = common.start_time, common.duration
    found = {
        "at": start.seconds + start.nanos / 1e9,
        "from": edge.source,
        "to": edge.target,
        "service": edge.service,
        "pod": reporter.pod.name,
        "protocol": edge.protocol,
        "method": "",
        "authority": "",
        "path": "",
        "status": 0,
        "ms": round(spent.seconds * 1000 + spent.nanos / 1e6, 3),
        "flags": flags(common.response_flags),
        "details": common.connection_termination_details,
        "policy": result.policy,
        "denied": result.denied,
        "would_deny": result.would_deny,
        "trace": "",
        "mtls": edge.mtls,
        "reporter": edge.reporter,
    }
    if edge.protocol == HTTP:
        request = entry.request
        found |= {
            "method": entries.method(request.request_method),
            "authority": request.authority,
            "path": request.original_path or request.path,
            "status": entry.response.response_code.value,
            "details": entry.response.response_code_details or common.connection_termination_details,
            "trace": trace(request.request_headers.get("traceparent", "")),
        }
    else:
        moved = entry.connection_properties
        found |= {"bytes_out": moved.received_bytes, "bytes_in": moved.sent_bytes}
    return found


def trace(traceparent: str) -> str:
    """The trace's id in a traceparent (https://www.w3.org/TR/trace-context/), or ""."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""


def flags(found: Any) -> list[str]:
    """The names of the flags that are set, as envoy.data.accesslog.v3.ResponseFlags has them."""
    return [each.name for each, _ in found.ListFields()]
