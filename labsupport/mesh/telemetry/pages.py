"""What telemetry shows over HTTP: GET /topology and /tap among the other looks, GET /metrics on a port of its own."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from typing import Any
from urllib.parse import parse_qsl

from labsupport.mesh import names
from labsupport.mesh.telemetry import expose
from labsupport.mesh.telemetry.tap import Filter, Tap, Taps

HEARTBEAT = 2.0  # seconds without a line, after which an empty one shows whether somebody is still there
Ask = Callable[[Callable[[], Any]], Any]  # calls something in the event loop, and waits for it


def seconds(query: str) -> float:
    """The window that is asked for; 60 where nothing is."""
    try:
        return float(dict(parse_qsl(query)).get("seconds", "60"))
    except ValueError:
        return 60.0


def stream(taps: Taps, query: str, out: BufferedIOBase) -> None:
    """Write requests as they end, a JSON object a line, until `limit` of them or until nobody reads any more.

    A line {"left_out": N} says that so many more were wanted, but came faster than they were read.
    """
    asked = dict(parse_qsl(query))
    limit, tap, said = int(asked.get("limit", "0") or 0), Tap(Filter.of(asked)), 0
    taps.join(tap)
    try:
        out.write(b"\n")  # so that one who reads knows that it has begun
        out.flush()
        shown = 0
        while not limit or shown < limit:
            try:
                line: dict[str, Any] | None = tap.lines.get(timeout=HEARTBEAT)
            except queue.Empty:
                line = None
            if tap.left_out > said:
                out.write(json.dumps({"left_out": tap.left_out - said}).encode() + b"\n")
                said = tap.left_out
            out.write((json.dumps(line).encode() if line else b"") + b"\n")
            out.flush()
            shown += line is not None
    except OSError:
        pass  # it has hung up
    finally:
        taps.leave(tap)


def metrics_server(text: Callable[[], str], port: int = names.METRICS) -> ThreadingHTTPServer:
    """A server for Prometheus; `serve_forever` belongs in a thread of its own. `text` is called in others."""

    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        timeout = 30  # seconds of silence

        def do_GET(self) -> None:
            """Answer a GET."""
            known = self.path.partition("?")[0] == "/metrics"
            content = text().encode() if known else b"/metrics\n"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", expose.CONTENT_TYPE)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Scrapes are not logged."""

    made = ThreadingHTTPServer(("", port), Handler)
    made.daemon_threads = True
    return made
