"""Probes that mean what they did before they were rewritten."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import pytest

from labsupport.mesh.identity import ca
from labsupport.mesh.identity.serving import Pair, server_context
from labsupport.mesh.proxy import probes
from labsupport.mesh.proxy.settings import Settings

IP = "127.0.0.1"


class Application(BaseHTTPRequestHandler):
    """Paths say what is answered."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        port = self.server.server_address[1]
        if self.path == "/hang":
            self.server.go.wait(5)
        status, location = {
            "/moved": (301, "/200"),
            "/away": (302, "http://elsewhere.example/"),
            "/same": (302, f"http://{IP}:{port}/503"),
            "/circle": (302, "/circle"),
            "/bare": (304, ""),
        }.get(self.path) or (int(self.path[1:4]) if self.path[1:4].isdigit() else 200, "")
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    servers = []

    def begin(context: ssl.SSLContext | None = None) -> Any:
        server = ThreadingHTTPServer((IP, 0), Application)
        server.seen, server.go = [], threading.Event()
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return server

    yield begin
    for server, thread in servers:
        server.go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def get(server: Any, path: str, **more: Any) -> dict[str, Any]:
    timeout = more.pop("timeoutSeconds", 5)
    return {"httpGet": {"path": path, "port": server.server_address[1], **more}, "timeoutSeconds": timeout}


@pytest.mark.parametrize(
    ("path", "fine", "seen"),
    [
        ("/200", True, "status 200"),
        ("/399", True, "status 399"),
        ("/400", False, "status 400"),
        ("/503", False, "status 503"),
        ("/moved", True, "status 200"),
        ("/same", False, "status 503"),
        ("/away", True, "status 302, which leads to another host"),
        ("/circle", False, "more than 10 redirects"),
        ("/bare", True, "status 304"),
    ],
)
def test_http_is_judged_as_the_kubelet_does(
    start: Callable[..., Any], path: str, fine: bool, seen: str
) -> None:
    assert probes.check(IP, get(start(), path)) == (fine, seen)


def test_http_asks_as_the_kubelet_does(start: Callable[..., Any]) -> None:
    server = start()
    assert probes.check(IP, get(server, "health?full=1"))[0]
    path, headers = server.seen[-1]
    assert path == "/health?full=1"
    assert headers["Host"] == f"{IP}:{server.server_address[1]}"
    assert headers["User-Agent"].startswith("kube-probe/")
    own = [{"name": "host", "value": "shop.example"}, {"name": "X-Probe", "value": "yes"}]
    assert probes.check(IP, get(server, "/200", httpHeaders=own))[0]
    headers = server.seen[-1][1]
    assert (headers["Host"], headers["X-Probe"]) == ("shop.example", "yes")


def test_https_takes_any_certificate(start: Callable[..., Any]) -> None:
    now = datetime.now(UTC)
    authority, key = ca.Authority(ca.new_root("root-1", now)), ca.new_key()
    made = authority.issue(key.public_key(), ca.Identity("a", "b", "c", "d"), now=now)
    server = start(server_context(Pair(ca.key_pem(key), ca.pem(made), "", now)))
    assert probes.check(IP, get(server, "/200", scheme="HTTPS")) == (True, "status 200")
    assert probes.check(IP, get(server, "/500", scheme="HTTPS")) == (False, "status 500")
    fine, seen = probes.check(IP, get(server, "/200"))
    assert not fine
    assert "hung up" in seen or "closed" in seen or "reset" in seen.lower()


def test_what_takes_too_long_fails(start: Callable[..., Any]) -> None:
    assert probes.check(IP, get(start(), "/hang", timeoutSeconds=0.05)) == (False, "no answer within 0.05 s")


def test_a_closed_port_fails_and_an_open_one_does_not() -> None:
    with socket.create_server((IP, 0)) as listening:
        port = listening.getsockname()[1]
        assert probes.check(IP, {"tcpSocket": {"port": port}}) == (True, "the port is open")
    fine, seen = probes.check(IP, {"tcpSocket": {"port": port}})
    assert not fine
    assert "refused" in seen
    fine, seen = probes.check(IP, {"httpGet": {"port": port}})
    assert not fine
    assert "refused" in seen


@pytest.fixture
def health() -> Iterator[int]:
    """A gRPC server that serves "good" (and "", all of it), does not serve "bad", and knows no other."""
    server = grpc.server(ThreadPoolExecutor(1))

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        known = {b"": b"\x08\x01", b"\x0a\x04good": b"\x08\x01", b"\x0a\x03bad": b"\x08\x02"}
        known[b"\x0a\xc8\x01" + b"x" * 200] = b"\x08\x01"
        if request not in known:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return known[request]

    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),)
    )
    port = server.add_insecure_port(f"{IP}:0")
    server.start()
    yield port
    server.stop(0).wait()


def test_grpc_wants_serving(health: int) -> None:
    def ask(**service: str) -> tuple[bool, str]:
        return probes.check(IP, {"grpc": {"port": health, **service}, "timeoutSeconds": 5})

    assert ask() == (True, "SERVING")
    assert ask(service="") == (True, "SERVING")
    assert ask(service="good") == (True, "SERVING")
    assert ask(service="x" * 200) == (True, "SERVING")
    fine, seen = ask(service="bad")
    assert not fine
    assert "not SERVING" in seen
    fine, seen = ask(service="other")
    assert not fine
    assert "grpc-status: 5" in seen
    assert "unknown service" in seen


def test_grpc_of_what_speaks_none_fails(start: Callable[..., Any]) -> None:
    for port in (start().server_address[1], 1):
        fine, seen = probes.check(IP, {"grpc": {"port": port}, "timeoutSeconds": 5})
        assert not fine
        assert "curl:" in seen


def test_what_is_no_probe_fails() -> None:
    fine, seen = probes.check(IP, {"exec": {"command": ["true"]}, "timeoutSeconds": 1})
    assert not fine
    assert "exec" in seen


class Answering:
    """The helper's server with two probes of an application."""

    def __init__(self, port: int) -> None:
        self.ready = threading.Event()
        self.asked = threading.Semaphore(0)
        settings = Settings(
            "orders-1",
            "shop",
            "u-1",
            IP,
            "orders",
            probes_port=0,
            probes={
                "app/readiness": {"httpGet": {"port": port, "path": "/200"}},
                "app/liveness": {"httpGet": {"port": port, "path": "/503"}},
            },
        )
        self.server = probes.Server(settings, ready=self.is_ready)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()

    def is_ready(self, admin: int) -> bool:
        self.asked.release()
        return self.ready.is_set()

    def get(self, path: str) -> tuple[int, str]:
        client = http.client.HTTPConnection(IP, self.server.port, timeout=5)
        client.request("GET", path)
        answer = client.getresponse()
        text = answer.read().decode()
        client.close()
        return answer.status, text


@pytest.fixture
def answering(start: Callable[..., Any]) -> Iterator[Answering]:
    made = Answering(start().server_address[1])
    yield made
    made.server.close()
    made.thread.join(5)
    assert not made.thread.is_alive()


def test_the_kubelets_question_is_passed_on(answering: Answering) -> None:
    assert answering.get("/probes/app/readiness") == (200, "status 200\n")
    assert answering.get("/probes/app/liveness") == (503, "status 503\n")
    assert answering.get("/probes/app/startup") == (404, "there is no probe at /probes/app/startup\n")
    assert answering.get("/probes/")[0] == answering.get("/")[0] == answering.get("/app/readiness")[0] == 404


def test_ready_waits_for_envoy(answering: Answering) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(answering.get, "/ready")
        assert answering.asked.acquire(timeout=5)
        assert not asked.done()
        answering.ready.set()
        assert asked.result(5) == (200, "ready\n")


def test_nobody_waits_for_who_has_hung_up(answering: Answering) -> None:
    with socket.create_connection((IP, answering.server.port)) as asking:
        asking.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
        assert answering.asked.acquire(timeout=5)
    for each in [each for each in threading.enumerate() if "_one" in each.name]:
        each.join(5)
        assert not each.is_alive()


def test_what_is_too_much_at_once_is_turned_away(answering: Answering) -> None:
    waiting = [socket.create_connection((IP, answering.server.port)) for _ in range(probes.TOGETHER)]
    for each in waiting:
        each.sendall(b"GET /ready HTTP/1.1\r\n\r\n")
    with socket.create_connection((IP, answering.server.port), timeout=5) as late:
        assert late.recv(1) == b""
    answering.ready.set()
    for each in waiting:
        assert each.recv(15) == b"HTTP/1.1 200 OK"
        each.close()


def test_nonsense_and_silence_do_no_harm(answering: Answering) -> None:
    with socket.create_connection((IP, answering.server.port)) as silent:
        with socket.create_connection((IP, answering.server.port)) as talking:
            talking.sendall(b"\x16\x03\x01\r\n\r\n")
            assert talking.recv(100).startswith(b"HTTP/1.1 400 ")
        assert answering.get("/probes/app/readiness")[0] == 200
        silent.close()
