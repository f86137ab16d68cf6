"""Server and client against each other, their words read as the Gateway API's suite reads them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from labsupport.shop import echo
from labsupport.shop.echo import client, fields, web
from labsupport.shop.echo.rpc import Rpc, address_of
from labsupport.shop.echo.server import listeners, parser
from labsupport.shop.echo.stream import Stream

HOSTNAME = socket.gethostname()


@dataclass
class Read:
    """What the suite makes of one answer (utils/echo/parse.go): names are found anywhere, the first one counts."""

    text: str
    request: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    response: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in re.findall("RequestHeader=([^:\n]*):(.*)", self.text):
            self.request[name.lower()].append(value)
        for name, value in re.findall("ResponseHeader=([^:\n]*):(.*)", self.text):
            self.response[name.lower()] = value

    def __getattr__(self, name: str) -> str:
        found = re.search(f"{name}=(.*)", self.text)
        return found.group(1) if found else ""


def answers(text: str) -> list[Read]:
    """Several answers in one text: an empty line is between them."""
    read = [Read(part) for part in text.split("\n\n") if part.strip()]
    return [each for each in read if each.Hostname or each.StatusCode]


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    flags = parser().parse_args(["--port=0", "--tcp=0"])
    http, stream = listeners(flags)
    first = Stream(0, first=True)
    tls = web.Web(0, web.tls_context(Path("/no/such.crt"), Path("/no/such.key")))
    servers = {"http": http, "tcp": stream, "first": first, "https": tls}
    for server in servers.values():
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    rpc = Rpc(0)
    yield {name: int(server.server_address[1]) for name, server in servers.items()} | {"grpc": rpc.port}
    for server in servers.values():
        server.shutdown()
        server.server_close()
    rpc.stop()


@pytest.fixture
def ask(ports: dict[str, int], capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Read]]:
    """`ask(scheme, path, *flags)`: what the client says of it."""

    def run(scheme: str, path: str = "", *flags: str, port: str = "") -> list[Read]:
        assert client.main([f"{scheme}://127.0.0.1:{ports[port or scheme]}{path}", *flags]) == 0
        return answers(capsys.readouterr().out)

    return run


Ask = Callable[..., list[Read]]


def test_every_field_that_the_suite_reads(ask: Ask, ports: dict[str, int]) -> None:
    (said,) = ask("http", "/a/b?c=d", "--method=PATCH", "-H", "X-Request-Id:one")
    assert said.StatusCode == "200"
    assert said.Hostname == HOSTNAME
    assert said.Host == f"127.0.0.1:{ports['http']}"
    assert said.URL == "/a/b?c=d"
    assert said.Method == "PATCH"
    assert said.Proto == "HTTP/1.1"
    assert said.IP == "127.0.0.1"
    assert said.ServicePort == str(ports["http"])
    assert said.request["x-request-id"] == ["one"]
    assert said.response["content-type"] == "text/plain; charset=utf-8"


def test_headers_keep_their_order_and_their_number(ask: Ask) -> None:
    (said,) = ask("http", "/", "-H", "X-Set:b", "-H", "X-Set: a:c", "-H", "Host:other.example")
    assert said.request["x-set"] == ["b", "a:c"]
    assert said.Host == "other.example"
    assert said.request["host"] == ["other.example"]


def test_what_a_caller_chooses_is_not_taken_for_a_field(ask: Ask) -> None:
    (said,) = ask("http", "/?Host=x&StatusCode=1&Method=y", "-H", "X:Hostname=evil", "-H", "Y:IP=1")
    assert (said.StatusCode, said.Hostname, said.IP, said.Method) == ("200", HOSTNAME, "127.0.0.1", "GET")
    assert said.Host.startswith("127.0.0.1:")


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_as_many_answers_as_asked_for_and_no_delays(ask: Ask, scheme: str) -> None:
    began = time.monotonic()
    said = ask(scheme, "", "--count=100")
    assert len(said) == 100
    assert {each.StatusCode for each in said} == {"200"}
    assert {each.Hostname for each in said} == {HOSTNAME}
    assert time.monotonic() - began < 2, "40 ms each: Nagle's algorithm against delayed acknowledgements"


def test_grpc(ask: Ask, ports: dict[str, int]) -> None:
    (said,) = ask("grpc", "", "-H", "X-Some:thing", "--msg=good day")
    assert said.StatusCode == "200"
    assert said.Hostname == HOSTNAME
    assert said.Proto == "GRPC"
    assert said.IP == "127.0.0.1"
    assert said.ServicePort == str(ports["grpc"])
    assert said.request["x-some"] == ["thing"]
    assert said.Echo == "good day"
    assert len(ask("grpc", "", "--count=2", "--new-connection-per-request")) == 2


def test_tls_with_a_certificate_of_its_own(
    ask: Ask, ports: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    (said,) = ask("https", "/x", "--insecure-skip-verify")
    assert (said.StatusCode, said.URL) == ("200", "/x")
    assert client.main([f"https://127.0.0.1:{ports['https']}/"]) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().err


def test_tcp_answers_each_line_and_may_speak_first(ask: Ask, ports: dict[str, int]) -> None:
    (said,) = ask("tcp", "", "--msg=line")
    assert (said.StatusCode, said.Hostname, said.Proto, said.Echo) == ("200", HOSTNAME, "TCP", "line")
    with socket.create_connection(("127.0.0.1", ports["first"]), timeout=5) as connection:
        greeting = connection.recv(1 << 16)  # nothing was sent
        assert b"Echo=greeting\n" in greeting
        connection.sendall(b"one\n")
        assert b"Echo=one\n" in connection.recv(1 << 16)


def test_a_body_does_not_spoil_the_next_request(ports: dict[str, int]) -> None:
    requests = (
        b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"
        b"HEAD /3 HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    )
    said = b""
    with socket.create_connection(("127.0.0.1", ports["http"]), timeout=5) as connection:
        connection.sendall(requests)
        while block := connection.recv(1 << 16):
            said += block
    assert said.count(b"HTTP/1.1 200 ") == 4
    assert re.findall(rb"URL=(/\d)", said) == [b"/1", b"/2", b"/4"]


def test_a_body_without_an_end_closes_the_connection(ports: dict[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", ports["http"]), timeout=5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_redirects_and_errors_are_answers_too() -> None:
    text = fields.answered(
        3, "http://echo/", 302, [("Location", "http://other/"), ("Set", "a"), ("Set", "b")], "x\n\n"
    )
    (said,) = answers(text)
    assert (said.StatusCode, said.response["location"]) == ("302", "http://other/")
    assert "[3 body] x\n[3] ResponseHeader=" in text
    assert text.count("\n\n") == 1
    assert text.endswith("\n\n")


@pytest.mark.parametrize("scheme", ["http", "grpc", "tcp"])
def test_nobody_there(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert (
            client.main([f"{scheme}://127.0.0.1:{taken.getsockname()[1]}", "--count=2", "--timeout=1"]) == 1
        )
    said = capsys.readouterr()
    assert said.out == ""
    assert [line[:9] for line in said.err.splitlines()] == ["[0 error]", "[1 error]"]


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:0", "http://x:y", "echo"])
def test_what_is_no_url_is_said(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        client.parse([url])
    assert ended.value.code == 2
    assert url in capsys.readouterr().err


def test_a_port_that_another_has() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"port \d+: "):
            Rpc(taken.getsockname()[1])


def test_addresses_as_grpcio_writes_them() -> None:
    assert address_of("ipv4:10.244.0.7:41234") == "10.244.0.7"
    assert address_of("ipv6:%5B::1%5D:41234") == "::1"


def test_as_the_image_runs_it() -> None:
    """The flags of the suite's Deployments but for the ports, and `client` by its name."""
    place = Path(echo.__file__).parent / "bin"
    assert os.access(place / "client", os.X_OK)
    environment = os.environ | {"PATH": f"{place}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "labsupport.shop.echo.server",
            f"--port={port}",
            "--crt=/cert.crt",
            "--key=/cert.key",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving: HTTP")
        done = subprocess.run(
            ["client", f"http://127.0.0.1:{port}"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert answers(done.stdout)[0].StatusCode == "200"
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=5) == 0
    finally:
        server.kill()
        if server.stdout is not None:
            server.stdout.close()
