"""The HTTPS server of the control plane: the API server's webhook calls and the proxies' requests for certificates.

A thread for each connection. Connections are few (the API server's are kept alive, a helper's last for one request),
and what handlers do, calls of the API, blocks.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

log = logging.getLogger(__name__)

BODY_LIMIT = 4 * 1024 * 1024  # bytes; the API server's own limit for a request is 3 MiB
TIMEOUT = 30.0  # seconds of silence on a connection, in a handshake too
CONNECTIONS = 200  # at once; further ones are closed at once, so that strangers cannot use up the memory


@dataclass(frozen=True)
class Request:
    """One request, from the address `peer`.

    `query` is what follows "?", not decoded; names of `headers` are in lower case.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    peer: str = ""


@dataclass(frozen=True)
class Response:
    """One answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"

    @classmethod
    def json(cls, content: Any, status: int = 200) -> Response:
        """An answer of `content` as JSON."""
        return cls(status, json.dumps(content).encode())


Handler = Callable[[Request], Response]


class Server(ThreadingHTTPServer):
    """Listens as soon as it is made, answers while `run` runs, until `stop`.

    `handlers`: by method and path. `context` is asked for each connection, so that certificates can change.
    """

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(
        self,
        port: int,
        context: Callable[[], ssl.SSLContext],
        handlers: Mapping[tuple[str, str], Handler],
        *,
        address: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        """`port` 0 takes a free one (`port` tells which); `address` "" means all; `timeout` is in seconds.

        Errors: OSError where the port is taken.
        """
        self.handlers = dict(handlers)
        self.silence = timeout
        self._context = context
        self._lock = threading.Lock()
        self._idle: set[socket.socket] = set()
        self._open = 0
        self._empty = threading.Condition(self._lock)
        self.stopping = False
        super().__init__((address, port), _Connection)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def run(self) -> None:
        """Answer until `stop`. For a thread of its own."""
        self.serve_forever(poll_interval=0.2)

    def stop(self, grace: float = 5.0) -> None:
        """Take no more, let answers that are under way be finished for `grace` seconds, and hang up."""
        self.shutdown()
        self.server_close()
        with self._lock:
            self.stopping = True
            for connection in self._idle:
                # The plain socket's way: the TLS socket's own also drops its session, and would go on in clear text.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            self._empty.wait_for(lambda: self._open == 0, grace)

    def idle(self, connection: socket.socket) -> bool:
        """`connection` waits for a request; False: it must not, the server stops."""
        with self._lock:
            if not self.stopping:
                self._idle.add(connection)
            return not self.stopping

    def busy(self, connection: socket.socket) -> None:
        """`connection` has a request, which is answered even if the server stops."""
        with self._lock:
            self._idle.discard(connection)

    def server_bind(self) -> None:
        """Bind. The usual server would also ask the DNS for its own name, and wait for the answer."""
        TCPServer.server_bind(self)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        with self._lock:
            return self._open < CONNECTIONS

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, in its own thread: the handshake too, since one slow client must not keep others waiting."""
        with self._lock:
            self._open += 1
        try:
            request.settimeout(self.silence)
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._context().wrap_socket(request, server_side=True) as secured:
                _Connection(secured, client_address, self)
        except (OSError, ssl.SSLError) as error:
            log.debug("%s: %s", client_address[0], error)  # a port scan is not worth a line
        except Exception:
            log.exception("connection of %s", client_address[0])
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._open -= 1
                self._empty.notify_all()


class _Connection(BaseHTTPRequestHandler):
    """The requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024  # head and body leave together: one packet, one wake-up of the reader
    server: Server
    connection: ssl.SSLSocket

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        if not self.server.idle(self.connection):
            self.close_connection = True
            return
        try:
            self.raw_requestline = self.rfile.readline(65537)
        finally:
            self.server.busy(self.connection)
        if len(self.raw_requestline) > 65536:
            self.requestline, self.request_version, self.command = "", "", ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
            return
        if not self.raw_requestline:
            self.close_connection = True
            return
        if self.parse_request():  # which answers what it cannot read
            self._send(self._answer())

    def _answer(self) -> Response:
        path, _, query = self.path.partition("?")
        handler = self.server.handlers.get((self.command, path))
        body = self._body()
        if isinstance(body, Response):
            self.close_connection = True  # what has not been read would be taken for the next request
            return body
        if handler is None:
            known = any(path == other for _, other in self.server.handlers)
            status = HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND
            return Response.json({"error": f"There is nothing at {self.command} {path}."}, status)
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            return handler(Request(self.command, path, query, headers, body, str(self.client_address[0])))
        except Exception:
            log.exception("%s %s", self.command, path)
            return Response.json({"error": "The control plane failed; its log says why."}, 500)

    def _body(self) -> bytes | Response:
        if "transfer-encoding" in self.headers:
            return Response.json({"error": "Send a Content-Length."}, HTTPStatus.LENGTH_REQUIRED)
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            return Response.json({"error": "Content-Length is no number."}, HTTPStatus.BAD_REQUEST)
        if int(length) > BODY_LIMIT:
            error = {"error": f"The body is longer than {BODY_LIMIT} bytes."}
            return Response.json(error, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionResetError("the request was not sent to its end")
        return body

    def _send(self, response: Response) -> None:
        if self.server.stopping:
            self.close_connection = True
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)
        self.wfile.flush()

    def version_string(self) -> str:
        """For the Server header; it need not tell which Python this is."""
        return "mesh-control"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is inherited)
        """Handlers log what matters."""
