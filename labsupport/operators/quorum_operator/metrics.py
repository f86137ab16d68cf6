"""What is counted, in Prometheus' text format, and the probes: plain HTTP on the Pod's port 7480.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/. Nothing here is secret; anybody in the cluster may
read it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from labsupport.operators.quorum_operator.observed import Observed
from labsupport.operators.quorum_operator.plan import Plan

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Sample = tuple[dict[str, str], float]


class Metrics:
    """Counts; any thread may tell or read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], float] = {}  # family, "NAMESPACE/NAME", detail
        self._gauges: dict[str, dict[str, float]] = {}  # by "NAMESPACE/NAME": family with detail
        self.leads = False

    def count(self, family: str, quorum: str, detail: str = "", by: float = 1) -> None:
        """One more."""
        with self._lock:
            key = (family, quorum, detail)
            self._counts[key] = self._counts.get(key, 0) + by

    def writing(self, to: str, then: Callable[[str], None]) -> Callable[[str], None]:
        """To be called after each write to `to` ("api" or "member"): it is counted, then `then` hears of it."""

        def written(what: str) -> None:
            self.count("writes_total", "/", to)
            then(what)

        return written

    def saw(self, seen: Observed, planned: Plan) -> None:
        """A round of a Quorum."""
        quorum = seen.quorum
        now = {f"condition/{each.type}": float(each.status == "True") for each in planned.conditions}
        now["members_answering"] = float(len(seen.members))
        with self._lock:
            self._gauges[f"{quorum.namespace}/{quorum.name}"] = now

    def gone(self, quorum: str) -> None:
        """A Quorum that is no more."""
        with self._lock:
            self._gauges.pop(quorum, None)

    def text(self) -> str:
        """Everything, as Prometheus reads it."""
        with self._lock:
            counts, gauges = dict(self._counts), {name: dict(each) for name, each in self._gauges.items()}
        lines = _family(
            "quorum_operator_leads", "gauge", "Whether this replica leads.", [({}, float(self.leads))]
        )
        for family, about, detail in (
            ("reconciles_total", "Rounds.", "outcome"),
            ("actions_total", "Steps that were done.", "action"),
            ("certificates_total", "Requests for certificates that were answered.", "outcome"),
            ("writes_total", "What Quorums were changed by; not Events, not the Lease.", "to"),
        ):
            samples = [
                ({**_place(quorum), detail: said}, value)
                for (name, quorum, said), value in sorted(counts.items())
                if name == family
            ]
            lines += _family(f"quorum_operator_{family}", "counter", about, samples)
        conditions = [
            ({**_place(quorum), "type": name.partition("/")[2]}, value)
            for quorum, now in sorted(gauges.items())
            for name, value in now.items()
            if name.startswith("condition/")
        ]
        answering = [(_place(quorum), now["members_answering"]) for quorum, now in sorted(gauges.items())]
        lines += _family("quorum_condition", "gauge", "Whether a condition is True.", conditions)
        lines += _family("quorum_members_answering", "gauge", "Members that answer the operator.", answering)
        return "\n".join(lines) + "\n"


def _place(quorum: str) -> dict[str, str]:
    namespace, _, name = quorum.partition("/")
    return {"namespace": namespace, "name": name}


def _family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{said}}} {value:g}" if said else f"{name} {value:g}")
    return lines


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def server(
    metrics: Metrics, healthy: Callable[[], bool], port: int, address: str = ""
) -> ThreadingHTTPServer:
    """Bound to `port` on `address` ("": all of the Pod's); run it in a thread. `healthy`: nothing has stopped."""

    class Handler(BaseHTTPRequestHandler):
        """GET /metrics, /healthz and /readyz."""

        def do_GET(self) -> None:
            """Answer."""
            if self.path == "/metrics":
                self._answer(200, metrics.text(), CONTENT_TYPE)
            elif self.path in ("/healthz", "/readyz"):
                fine = healthy()
                self._answer(200 if fine else 500, "ok\n" if fine else "stopped\n", "text/plain")
            else:
                self._answer(404, "there is /metrics, /healthz and /readyz\n", "text/plain")

        def _answer(self, status: int, text: str, content_type: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Probes are not worth a line."""

    made = ThreadingHTTPServer((address, port), Handler)
    made.daemon_threads = True
    return made
