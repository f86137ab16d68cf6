"""An HTTPS server for reviews: what the API server sends to a webhook, and the answer that it waits for."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = 8443
CERTIFICATE = Path("/certificate")  # where the manifests mount the Secret

Review = dict[str, Any]


def server(
    answer: Callable[[Review], Review],
    kind: str,
    port: int = PORT,
    directory: Path = CERTIFICATE,
    address: str = "",
) -> ThreadingHTTPServer:
    """An HTTPS server bound to `port` on `address` (default: all), with the certificate in `directory`.

    `answer` gets a review of `kind`; what is none (ValueError, TypeError, KeyError) is answered with 400.
    """

    class Handler(BaseHTTPRequestHandler):
        """One connection, kept open between reviews (HTTP/1.1)."""

        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one segment

        def do_POST(self) -> None:
            """Answer a review."""
            try:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = 200, json.dumps(answer(asked))
            except (ValueError, TypeError, KeyError) as error:
                status, body = 400, json.dumps({"error": f"This is no {kind}: {error!r}"})
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
            """Requests are not logged one by one: `answer` tells what was done."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    made = ThreadingHTTPServer((address, port), Handler)
    made.daemon_threads = True
    # The handshake is done by the connection's own thread: a caller that says nothing must not keep out the others.
    made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
    return made
