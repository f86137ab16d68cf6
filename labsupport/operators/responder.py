"""Answers HTTP requests with a learner's function of the path. The smallest host: see README.md.

`function(path)` returns what is sent as JSON; what it raises is answered with 500 and recorded.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from labsupport.operators import learner

PORT = 8080
LIMIT = 5.0  # seconds for one answer before it is told that it takes long


def server(function: learner.Learner, port: int = PORT) -> ThreadingHTTPServer:
    """A server that is bound to `port` on all addresses and calls `function` for each GET."""

    class Handler(BaseHTTPRequestHandler):
        """One connection."""

        def do_GET(self) -> None:
            """Answer a GET."""
            try:
                status, body = 200, json.dumps(function(self.path, about=f"GET {self.path}", limit=LIMIT))
            except Exception as error:
                failure = function.failure(error)
                status, body = 500, json.dumps({"error": f"{failure.kind}: {failure.message}"})
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Requests are not logged: the log is the learner's."""

    made = ThreadingHTTPServer(("", port), Handler)
    made.daemon_threads = True
    return made


def main() -> int:
    """Serve until the Pod ends."""
    function = learner.load()
    serving = server(function)
    learner.ready()
    serving.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
