"""The HTTP server whose addresses Exec, Attach and PortForward return, and which the kubelet then connects to.

It listens on the node's loopback; a path holds a token that is valid once and for a minute. h11 reads the request.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass

import h11
from wsproto.utilities import ProtocolError as WebSocketError

from labsupport.cluster.embedded.runtime import exec as execution
from labsupport.cluster.embedded.runtime import spdy, websocket
from labsupport.cluster.embedded.runtime.containers import get_running
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.exec import Channel, background
from labsupport.cluster.embedded.runtime.faults import Fault, not_found
from labsupport.cluster.embedded.runtime.state import Runtime

COMMAND_PROTOCOL = "v4.channel.k8s.io"
FORWARD_PROTOCOL = "portforward.k8s.io"
_VALID = 60.0  # seconds between the CRI call and the connection
_OPEN_STREAMS = 30.0  # seconds for the client to open all streams it announced

StreamRequest = cri.ExecRequest | cri.AttachRequest | cri.PortForwardRequest


class Tokens:
    """Requests that wait for their connection."""

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: dict[str, tuple[float, StreamRequest]] = {}
        self._lock = threading.Lock()

    def add(self, request: StreamRequest) -> str:
        """Keep a request and return the token for it."""
        token = secrets.token_urlsafe(24)
        now = time.monotonic()
        with self._lock:
            self._waiting = {key: item for key, item in self._waiting.items() if now - item[0] < _VALID}
            self._waiting[token] = (now, request)
        return token

    def take(self, token: str) -> StreamRequest | None:
        """The request for a token, once."""
        with self._lock:
            since, request = self._waiting.pop(token, (0.0, None))
        return request if time.monotonic() - since < _VALID else None


@dataclass(frozen=True)
class Streaming:
    """The listening server."""

    runtime: Runtime
    listener: socket.socket
    tokens: Tokens

    def url(self, kind: str, request: StreamRequest) -> str:
        """Where the kubelet is to connect for this request."""
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/{kind}/{self.tokens.add(request)}"

    def exec(self, request: cri.ExecRequest) -> cri.ExecResponse:
        """Exec."""
        get_running(self.runtime, request.container_id)
        return cri.ExecResponse(url=self.url("exec", request))

    def attach(self, request: cri.AttachRequest) -> cri.AttachResponse:
        """Attach."""
        get_running(self.runtime, request.container_id)
        return cri.AttachResponse(url=self.url("attach", request))

    def port_forward(self, request: cri.PortForwardRequest) -> cri.PortForwardResponse:
        """PortForward."""
        if self.runtime.sandboxes.get(request.pod_sandbox_id) is None:
            raise not_found(f"sandbox {request.pod_sandbox_id}")
        return cri.PortForwardResponse(url=self.url("portforward", request))

    def serve(self) -> None:
        """Accept connections for ever, one thread each."""
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            background(lambda connection=connection: self.handle(connection))  # type: ignore[misc]

    def handle(self, connection: socket.socket) -> None:
        """One connection, from its request to its end."""
        try:
            with connection:
                self._serve_one(connection)
        except (OSError, h11.ProtocolError, WebSocketError):
            return  # the client went away or speaks something else
        except Exception:
            traceback.print_exc(file=sys.stderr)

    def _serve_one(self, connection: socket.socket) -> None:
        connection.settimeout(_VALID)
        http, head, start = read_request(connection)
        connection.settimeout(None)
        headers = [(name.decode(), value.decode()) for name, value in head.headers]
        upgrade = next((value.lower() for name, value in headers if name == "upgrade"), "")
        request = self.tokens.take(head.target.decode().partition("?")[0].rpartition("/")[2])
        if request is None:
            _refuse(connection, http, 404, "unknown or used address")
        elif upgrade == "websocket" and not isinstance(request, cri.PortForwardRequest):
            self._over_websocket(connection, request, start)
        elif upgrade.startswith("spdy/3.1"):
            wanted = FORWARD_PROTOCOL if isinstance(request, cri.PortForwardRequest) else COMMAND_PROTOCOL
            offered = [
                protocol.strip()
                for name, value in headers
                if name == "x-stream-protocol-version"
                for protocol in value.split(",")
            ]
            if offered and wanted not in offered:
                _refuse(connection, http, 403, f"of the protocols {offered} none is {wanted}")
                return
            answer = h11.InformationalResponse(
                status_code=101,
                headers=[
                    ("Connection", "Upgrade"),
                    ("Upgrade", "SPDY/3.1"),
                    ("X-Stream-Protocol-Version", wanted),
                ],
                reason="Switching Protocols",
            )
            connection.sendall(http.send(answer) or b"")
            early, _ = http.trailing_data
            if isinstance(request, cri.PortForwardRequest):
                self._forward(connection, early, request)
            else:
                self._over_spdy(connection, early, request)
        else:
            _refuse(connection, http, 400, "an upgrade to SPDY/3.1 or WebSocket is needed")

    def _over_spdy(
        self, connection: socket.socket, early: bytes, request: cri.ExecRequest | cri.AttachRequest
    ) -> None:
        names = wanted_channels(request)
        channels: dict[str, Channel] = {}
        complete = threading.Event()

        def opened(stream: spdy.Stream) -> None:
            channels[stream.headers.get("streamtype", "")] = stream
            if names <= channels.keys():
                complete.set()

        session = spdy.Connection(connection, early, opened)
        reader = background(session.serve)
        if complete.wait(_OPEN_STREAMS):
            self._run(request, channels, session, status_as_json=True)
        session.close()
        reader.join()

    def _over_websocket(
        self, connection: socket.socket, request: cri.ExecRequest | cri.AttachRequest, start: bytes
    ) -> None:
        session = websocket.Connection(connection, start)
        reader = background(session.serve)
        names = wanted_channels(request)
        channels: dict[str, Channel] = {n: c for n, c in session.channels.items() if n in names}
        self._run(request, channels, session, status_as_json=session.status_as_json)
        session.close()
        reader.join()

    def _run(
        self,
        request: cri.ExecRequest | cri.AttachRequest,
        channels: dict[str, Channel],
        session: execution.Session,
        *,
        status_as_json: bool,
    ) -> None:
        try:
            if isinstance(request, cri.ExecRequest):
                code, message = execution.stream_exec(self.runtime, request, channels, session)
            else:
                code, message = execution.stream_attach(self.runtime, request, channels, session)
        except Fault as fault:
            code, message = execution.CANNOT_RUN, str(fault)
        with contextlib.suppress(OSError):
            report = status_object(code, message)
            if status_as_json:
                channels["error"].write(json.dumps(report).encode())
            elif code:
                channels["error"].write(str(report["message"]).encode())
            for channel in channels.values():
                channel.finish()

    def _forward(self, connection: socket.socket, early: bytes, request: cri.PortForwardRequest) -> None:
        """Each forwarded connection is a pair of streams, data and error, with the same request id."""
        pairs: dict[str, dict[str, spdy.Stream]] = {}

        def opened(stream: spdy.Stream) -> None:
            number = stream.headers.get("requestid", "")
            pair = pairs.setdefault(number, {})
            pair[stream.headers.get("streamtype", "")] = stream
            if {"data", "error"} <= pair.keys():
                del pairs[number]
                port = int(pair["data"].headers.get("port", "0"))
                background(
                    lambda: execution.forward(
                        self.runtime, request.pod_sandbox_id, port, pair["data"], pair["error"]
                    )
                )

        spdy.Connection(connection, early, opened).serve()


def wanted_channels(request: cri.ExecRequest | cri.AttachRequest) -> set[str]:
    """The channels that a request announces; a terminal has no stderr of its own."""
    names = {"error"}
    names |= {name for name in ("stdin", "stdout") if getattr(request, name)}
    if request.tty:
        names.add("resize")
    elif request.stderr:
        names.add("stderr")
    return names


def status_object(code: int, message: str) -> dict[str, object]:
    """The metav1.Status that ends a command: Success, its exit code, or why it could not run."""
    if message:
        return {
            "metadata": {},
            "status": "Failure",
            "reason": "InternalError",
            "message": message,
            "code": 500,
        }
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with exit code {code}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def read_request(connection: socket.socket) -> tuple[h11.Connection, h11.Request, bytes]:
    """Read one request: (the HTTP state, its head, every byte read so far)."""
    http = h11.Connection(h11.SERVER)
    start = b""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            # Moves the state on to where the connection may change its protocol.
            while isinstance(http.next_event(), h11.Data):
                pass
            return http, event, start
        data = connection.recv(1 << 16)
        if not data:
            raise OSError("the client closed before its request was complete")
        start += data
        http.receive_data(data)


def _refuse(connection: socket.socket, http: h11.Connection, code: int, message: str) -> None:
    body = message.encode() + b"\n"
    head = h11.Response(
        status_code=code, headers=[("Content-Length", str(len(body))), ("Connection", "close")]
    )
    for event in (head, h11.Data(data=body), h11.EndOfMessage()):
        connection.sendall(http.send(event) or b"")


def listen(runtime: Runtime) -> Streaming:
    """Start the server on a free port of the node's loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    streaming = Streaming(runtime, listener, Tokens())
    background(streaming.serve)
    return streaming
