"""The control plane's HTTPS server over real sockets: what it answers, whom it does not wait for, how it ends."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from labsupport.mesh import https
from labsupport.mesh.https import Request, Response, Server
from labsupport.mesh.identity import ca
from labsupport.mesh.identity.serving import OwnCertificate, https_context

NAME = "mesh-control.labs-system.svc"
IDENTITY = ca.Identity("labs-system", "mesh-control", "mesh-control-1", "u-0")


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC) - timedelta(minutes=31)  # clients have the real time

    def __call__(self) -> datetime:
        return self.now


class Serving:
    """A server, and clients that trust its root."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.authority = ca.Authority(ca.new_root("root-1", self.clock.now))
        self.own = OwnCertificate(lambda: self.authority, IDENTITY, now=self.clock)
        self.entered, self.go = threading.Event(), threading.Event()
        self.server = Server(
            0,
            https_context(self.own),
            {
                ("POST", "/echo"): lambda request: Response(200, request.body, "text/plain"),
                ("GET", "/seen"): lambda request: Response.json(
                    {"query": request.query, "host": request.headers["host"]}
                ),
                ("GET", "/broken"): self.broken,
                ("GET", "/slow"): self.slow,
            },
            address="127.0.0.1",
            timeout=5,
        )
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def broken(self, request: Request) -> Response:
        raise RuntimeError("a detail that is nobody's business")

    def slow(self, request: Request) -> Response:
        self.entered.set()
        assert self.go.wait(5)
        return Response.json("done")

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.authority.roots_pem)
        return context

    def socket(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=5)
        return self.context().wrap_socket(plain, server_hostname=NAME)

    def client(self) -> http.client.HTTPConnection:
        client = http.client.HTTPConnection(NAME)
        client.sock = self.socket()
        return client


@pytest.fixture
def serving() -> Iterator[Serving]:
    made = Serving()
    yield made
    made.go.set()
    made.server.stop()
    made.thread.join()


def ask(
    client: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, bytes]:
    client.request(method, path, body)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_one_connection_carries_many_requests(serving: Serving) -> None:
    client = serving.client()
    connection = client.sock
    assert ask(client, "POST", "/echo", b"x" * 100_000) == (200, b"x" * 100_000)
    assert ask(client, "POST", "/echo", b"") == (200, b"")
    status, body = ask(client, "GET", "/seen?timeout=10s")
    assert (status, json.loads(body)) == (200, {"query": "timeout=10s", "host": NAME})
    assert client.sock is connection
    client.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/nothing", 404, "There is nothing at GET /nothing."),
        ("GET", "/echo", 405, "There is nothing at GET /echo."),
        ("GET", "/broken", 500, "The control plane failed; its log says why."),
    ],
)
def test_what_it_does_not_serve(serving: Serving, method: str, path: str, status: int, text: str) -> None:
    client = serving.client()
    answered, body = ask(client, method, path)
    assert (answered, json.loads(body)) == (status, {"error": text})
    assert ask(client, "POST", "/echo", b"still there") == (200, b"still there")
    client.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (f"Content-Length: {https.BODY_LIMIT + 1}", 413),
        ("Content-Length: -1", 400),
        ("Content-Length: many", 400),
        ("Transfer-Encoding: chunked", 411),
    ],
)
def test_a_body_without_a_sound_length_is_not_read(serving: Serving, head: str, status: int) -> None:
    with serving.socket() as connection:
        connection.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(4096):  # it hangs up: what follows would be taken for a request
            answer += part
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"Connection: close" in answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_no_certificate_is_asked_for_and_old_protocols_are_refused(serving: Serving) -> None:
    with serving.socket() as connection:
        assert connection.version() == "TLSv1.3"
    context = serving.context()
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    plain = socket.create_connection(("127.0.0.1", serving.server.port), timeout=5)
    with plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname=NAME)


def test_a_renewed_certificate_is_shown_to_the_next_connection(serving: Serving) -> None:
    def serial() -> str:
        with serving.socket() as connection:
            return str(connection.getpeercert()["serialNumber"])

    first = serial()
    assert serial() == first
    serving.clock.now += timedelta(minutes=31)  # half of its life has passed
    second = serial()
    assert second != first
    serving.authority = ca.Authority(ca.new_root("root-2", serving.clock.now), (serving.authority.signer,))
    assert serial() != second


def test_a_client_that_says_nothing_keeps_no_one_waiting(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.server.port)):  # no handshake
        client = serving.client()
        assert ask(client, "POST", "/echo", b"x") == (200, b"x")
        client.close()


def test_a_plaintext_request_gets_nothing(serving: Serving) -> None:
    with socket.create_connection(("127.0.0.1", serving.server.port), timeout=5) as plain:
        plain.sendall(b"GET /seen HTTP/1.1\r\nHost: x\r\n\r\n")
        got = b""
        try:
            while part := plain.recv(4096):
                got += part
        except ConnectionResetError:
            pass
    assert b"HTTP" not in got


def test_the_end_waits_for_answers_and_for_nobody_else(serving: Serving) -> None:
    waiting, working = serving.client(), serving.client()
    assert ask(waiting, "POST", "/echo", b"x") == (200, b"x")
    working.request("GET", "/slow")
    assert serving.entered.wait(5)
    ending = threading.Thread(target=serving.server.stop)
    ending.start()
    assert waiting.sock.recv(1) == b""  # hung up on while the other is still being answered
    serving.go.set()
    answer = working.getresponse()
    assert (answer.status, json.loads(answer.read())) == (200, "done")
    assert answer.headers["Connection"] == "close"
    ending.join(5)
    assert not ending.is_alive()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", serving.server.port), timeout=5)


def test_too_many_connections_are_closed_at_once(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serving.client()
    assert ask(client, "POST", "/echo", b"x") == (200, b"x")
    monkeypatch.setattr(https, "CONNECTIONS", 1)
    with pytest.raises(OSError):  # noqa: PT011 (whatever says that there is no connection)
        serving.socket()
    assert ask(client, "POST", "/echo", b"x") == (200, b"x")
    client.close()
