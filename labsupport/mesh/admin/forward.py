"""The topology's page on this machine's loopback, for one person's browser.

Loopback is shared with all who use this machine, so what the mesh tells is given only for a token, which the printed
address has behind its "#": browsers send that part to nobody (RFC 3986, 3.5), and the page sends it as a header.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from labsupport.errors import LabsError
from labsupport.mesh import page


class Forward(ThreadingHTTPServer):
    """Listens on loopback as soon as it is made, and answers while `serve_forever` runs."""

    daemon_threads = True

    def __init__(self, fetch: Callable[[str], bytes], port: int = 0) -> None:
        """`fetch` gets a path of the control plane; the page itself is fetched at once. Errors: LabsError, OSError."""
        self.fetch = fetch
        self.token = secrets.token_urlsafe(24)
        self.document = fetch("/")
        self.headers = page.headers(self.document)
        super().__init__(("127.0.0.1", port), _Handler)
        self.hosts = {f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")}

    @property
    def url(self) -> str:
        """What a person opens."""
        return f"http://127.0.0.1:{self.server_port}/#token={self.token}"

    def said(self, path: str, host: str, authorization: str) -> tuple[int, bytes]:
        """Status and body for a GET. `host` is checked: a name that leads here is no way in (DNS rebinding)."""
        if host not in self.hosts:
            return 403, b"This is not the address that was printed."
        if path == "/":
            return 200, self.document
        if not path.startswith("/view?"):
            return 404, b"There is nothing here."
        if not hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode()):
            return 401, b"The token is missing."
        try:
            return 200, self.fetch(path)
        except LabsError as error:
            return 502, error.what.encode()


class _Handler(BaseHTTPRequestHandler):
    server: Forward
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a GET."""
        headers = self.headers
        status, body = self.server.said(self.path, headers.get("Host", ""), headers.get("Authorization", ""))
        self.send_response(status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
        """Nothing: the terminal is the person's."""
