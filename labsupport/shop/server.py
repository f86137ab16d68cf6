"""The HTTP server under each service of the shop: one thread per connection, connections kept (HTTP/1.1).

Every service has, besides its own paths: GET /healthz (200, or 503 once it is told to stop), GET /counters (JSON),
GET /metrics (Prometheus), GET and PUT /faults (faults.py). Each answer is a JSON object with "service", "pod" and
"version" in it. These paths count as no requests and suffer no faults.

Environment: PORT (default 8080), VERSION (default 1), DRAIN (seconds to go on serving after SIGTERM, default 0),
TLS_CERTIFICATE and TLS_KEY (PEM files; both set: it speaks TLS, 1.2 or newer), and those of faults.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType
from typing import Any

from labsupport.shop.counters import Counters
from labsupport.shop.faults import LOST, OK, Faults, Misbehaviour

OWN = ("/healthz", "/counters", "/metrics", "/faults")
GRACE = 5.0  # seconds for requests in flight after SIGTERM
HANDSHAKE = 5.0  # seconds for a peer to get through TLS's greeting


@dataclass(frozen=True)
class Request:
    """What a caller sent."""

    method: str
    path: str
    headers: Message[str, str]  # names in any case
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Errors: ValueError if it is none."""
        content = json.loads(self.body or b"{}")
        if not isinstance(content, dict):
            raise ValueError("the body is no JSON object")
        return content


@dataclass(frozen=True)
class Answer:
    """What a service says: a status, and the fields of a JSON object."""

    status: int
    content: Mapping[str, Any]


Handle = Callable[[Request], Answer]


class Service(ThreadingHTTPServer):
    """A service `name` on `port` of all addresses, whose requests `handle` answers; `spared` paths suffer no faults."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        name: str,
        handle: Handle,
        port: int,
        context: ssl.SSLContext | None = None,
        spared: tuple[str, ...] = (),
    ) -> None:
        super().__init__(("", port), Handler)
        self.name, self.handle, self.context, self.spared = name, handle, context, spared
        self.version = os.environ.get("VERSION", "1")
        self.pod = socket.gethostname()  # as Kubernetes sets it
        self.counters = Counters(name, self.version)
        self.faults = Misbehaviour(Faults.from_environment())
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._idle: set[socket.socket] = set()  # connections that wait for a next request
        self._busy = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, on its own thread: a slow handshake holds up no other caller."""
        if self.context is not None:
            request.settimeout(HANDSHAKE)
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError as error:
                print(f"{client_address[0]} no TLS: {error}", flush=True)
                return
            request.settimeout(None)
        self.counters.connection(1)
        try:
            super().finish_request(request, client_address)
        except OSError:
            pass  # the caller went away
        finally:
            self.counters.connection(-1)
            self.forget(request)
            if self.context is not None:
                self.shutdown_request(request)

    def waits(self, connection: socket.socket) -> None:
        """Note that a connection waits for its next request."""
        with self._lock:
            self._idle.add(connection)

    def begins(self, connection: socket.socket) -> None:
        """Note that a request came on a connection. One step, so that `stop` never sees it neither waiting nor busy."""
        with self._lock:
            self._idle.discard(connection)
            self._busy += 1

    def done(self) -> None:
        """Note that a request is answered."""
        with self._lock:
            self._busy -= 1

    def forget(self, connection: socket.socket) -> None:
        """Note that a connection has ended."""
        with self._lock:
            self._idle.discard(connection)

    @property
    def busy(self) -> int:
        """How many requests are being answered."""
        with self._lock:
            return self._busy

    def stop(self, drain: float = 0.0) -> None:
        """Go on for `drain` seconds while saying "not ready", then take no more connections, answer what was
        begun, and return.
        """
        self.stopping.set()
        if drain:
            time.sleep(drain)  # nothing tells a Pod that the last caller has learned of its end
        self.shutdown()
        self.server_close()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline:
            with self._lock:
                for connection in self._idle:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)  # a waiting handler reads the end
                if not self._busy:
                    return
            time.sleep(0.01)


class Handler(BaseHTTPRequestHandler):
    """One connection and its requests, one after another."""

    server: Service
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on a kept connection waits 40 ms for the peer's ACK
    wbufsize = -1  # head and body in one segment
    server_version = "shop"
    sys_version = ""

    def handle_one_request(self) -> None:
        """Read and answer one request."""
        self.server.waits(self.connection)
        self.raw_requestline = self.rfile.readline(65537)
        self.server.begins(self.connection)
        try:
            if not self.raw_requestline:
                self.close_connection = True
            elif self.parse_request():
                self._dispatch()
                self.wfile.flush()
        finally:
            self.server.done()

    def _dispatch(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit():
            self.close_connection = True
            self._answer(411, {"error": "a body needs a Content-Length"})
            return
        request = Request(self.command, self.path, self.headers, self.rfile.read(int(length)))
        if request.path.partition("?")[0] in OWN:
            self._own(request)
            return
        began = time.monotonic()
        spared = request.path.partition("?")[0] in self.server.spared
        delay, act = (0.0, OK) if spared else self.server.faults.next()
        if delay:
            time.sleep(delay)
        demanded = act not in (OK, LOST)
        answer = Answer(int(act), {"error": "as the faults demand"}) if demanded else self._handled(request)
        said = "lost" if act == LOST else str(answer.status)
        self.server.counters.request(said, time.monotonic() - began)
        print(f"{self.client_address[0]} {self.command} {self.path} {said}", flush=True)
        if act == LOST:
            self.close_connection = True
            return
        self._answer(answer.status, answer.content)

    def _handled(self, request: Request) -> Answer:
        try:
            return self.server.handle(request)
        except (ValueError, KeyError) as error:
            return Answer(400, {"error": f"{type(error).__name__}: {error}"})
        except Exception as error:  # one bad request must not end the connection of the next
            return Answer(500, {"error": f"{type(error).__name__}: {error}"})

    def _own(self, request: Request) -> None:
        path = request.path.partition("?")[0]
        if path == "/healthz":
            stopping = self.server.stopping.is_set()
            self._write(
                503 if stopping else 200, "text/plain; charset=utf-8", b"stopping\n" if stopping else b"ok\n"
            )
        elif path == "/metrics":
            self._write(200, "text/plain; version=0.0.4", self.server.counters.as_text().encode())
        elif path == "/counters":
            self._answer(200, self.server.counters.as_dict())
        else:
            try:
                if request.method == "PUT":
                    self.server.faults.change(request.json())
                self._answer(200, self.server.faults.as_dict())
            except (ValueError, TypeError) as error:
                self._answer(400, {"error": str(error)})

    def _answer(self, status: int, content: Mapping[str, Any]) -> None:
        who = {"service": self.server.name, "pod": self.server.pod, "version": self.server.version}
        self._write(status, "application/json", json.dumps({**who, **content}).encode() + b"\n")

    def _write(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if self.server.stopping.is_set():
            self.send_header("Connection", "close")  # ask callers to find another Pod
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def tls_context(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext | None:
    """The server's side of TLS, if the environment names a certificate and its key."""
    certificate, key = environment.get("TLS_CERTIFICATE"), environment.get("TLS_KEY")
    if not (certificate and key):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def run(name: str, handle: Handle, spared: tuple[str, ...] = ()) -> int:
    """Serve until SIGTERM or SIGINT, then end gracefully; returns the exit status. `spared` paths suffer no faults."""
    service = Service(name, handle, int(os.environ.get("PORT", "8080")), tls_context(), spared)
    told = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:
        told.set()

    # Process 1 of a container gets no default action for SIGTERM: without a handler each deletion of a Pod would
    # take its whole grace period of 30 seconds.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    print(f"serving on port {service.server_port}", flush=True)
    told.wait()
    print("stopping", flush=True)
    service.stop(float(os.environ.get("DRAIN", "0")))
    return 0
