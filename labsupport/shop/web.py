"""The shop's front door, for now: a web server that says which Pod answered, and in which version.

Environment: PORT (default 8080), VERSION (default 1). The Pod's name is its host name, as Kubernetes sets it.

GET /healthz answers 200 "ok"; GET on any other path answers JSON {"pod", "version", "path"}.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open between requests (HTTP/1.1)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept connection waits 40 ms for the peer's ACK
    wbufsize = -1  # head and body in one segment
    server_version = "shop"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a GET."""
        if self.path == "/healthz":
            self._answer("text/plain; charset=utf-8", b"ok\n")
            return
        answer = {
            "pod": socket.gethostname(),
            "version": os.environ.get("VERSION", "1"),
            "path": self.path,
        }
        self._answer("application/json", json.dumps(answer).encode() + b"\n")

    do_HEAD = do_GET

    def _answer(self, content_type: str, body: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
        """One line per request on stdout, where `kubectl logs` finds it; probes are left out."""
        if self.path != "/healthz":
            print(f"{self.address_string()} {format % args}", flush=True)


def stop(signal_number: int, frame: FrameType | None) -> None:
    """End at once and cleanly.

    Process 1 of a container gets no default action for SIGTERM: without this handler each deletion of a Pod
    would take its whole grace period of 30 seconds.
    """
    print("stopping", flush=True)
    os._exit(0)


def serve(port: int) -> ThreadingHTTPServer:
    """A server bound to `port` on all addresses; its threads do not outlive it."""
    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    return server


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server = serve(int(os.environ.get("PORT", "8080")))
    print(f"serving on port {server.server_port}", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
