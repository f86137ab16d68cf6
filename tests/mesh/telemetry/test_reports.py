"""What real proxies report of real requests, and that each is counted once."""

from __future__ import annotations

import io
import json
import queue
import socket
import urllib.request
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from labsupport.mesh.telemetry import pages
from labsupport.mesh.telemetry.tap import Filter, Tap
from labsupport.mesh.translate import envoy
from labsupport.mesh.translate.envoy import Json
from tests.mesh.conftest import wait
from tests.mesh.telemetry.conftest import Pair

ORDERS = ("shop/web", "shop/orders", "shop/orders/80")
BYTES = ("shop/web", "shop/orders", "shop/orders/90")


def get(url: str, **headers: str) -> int:
    asked = urllib.request.Request(
        url, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_each_request_is_counted_once_and_by_whose_it_was(pair: Pair) -> None:
    client = HTTPConnection(urlsplit(pair.url()).netloc, timeout=10)
    for _ in range(1000):
        client.request("GET", "/a?b=c")
        assert client.getresponse().read()
    client.close()
    pair.entries(1000)
    edges = pair.sink.edges()
    assert set(edges) == {ORDERS}
    edge = edges[ORDERS]
    assert (edge["requests"], edge["errors"], edge["mtls"], edge["protocol"]) == (1000, 0, True, "http")
    assert 0 < edge["p50_ms"] <= edge["p90_ms"] <= edge["p99_ms"]
    assert edge["rate"] > 0
    assert edge["in_flight"] > 0
    nodes = {each["id"]: each for each in pair.sink.graph()["nodes"]}
    assert set(nodes) == {"shop/web", "shop/orders"}
    assert nodes["shop/orders"] == {
        "id": "shop/orders", "namespace": "shop", "account": "orders", "workloads": ["orders-1"],
        "kind": "workload", "ready": 1, "proxies": 1,
    }  # fmt: skip
    assert pair.sink.collector.ledger.lost == 0
    # The client's proxy has said nothing: what reached a proxy is that proxy's to tell.
    assert pair.client.stat("access_logs.grpc_access_log.logs_written") == 0
    assert pair.server.stat("access_logs.grpc_access_log.logs_written") == 1000
    assert pair.server.stat("access_logs.grpc_access_log.logs_dropped") == 0


def test_what_reaches_no_proxy_is_told_by_the_caller(pair: Pair) -> None:
    assert get(pair.url(service="nobody")) == 503  # no endpoint
    assert get(pair.url(service="away")) == 200  # an endpoint without a proxy
    pair.send(b"hello", "outbound")  # an address that is no Service's
    pair.entries(3)
    edges = pair.sink.edges()
    _, port = pair.client.address("shop/nobody/80")
    nobody = edges["shop/web", "unknown", f"shop/nobody/{port}"]
    assert (nobody["requests"], nobody["errors"], nobody["error_share"], nobody["mtls"]) == (1, 1, 1.0, False)
    away = edges["shop/web", "outside", "shop/away/80"]
    assert (away["requests"], away["errors"], away["mtls"]) == (1, 0, False)
    bytes_ = edges["shop/web", "outside", ""]
    assert (bytes_["connections"], bytes_["bytes_out"], bytes_["bytes_in"]) == (1, 5, 5)
    assert len(edges) == 3


def test_a_connection_counts_while_it_lasts_and_its_bytes_once(pair: Pair) -> None:
    with socket.create_connection(pair.client.address("shop/orders/90"), timeout=30) as sock:
        sock.sendall(b"x" * 1000)
        assert sock.recv(1000)
        wait(lambda: BYTES in pair.sink.edges(), "the connection, while it lasts")
        edge = pair.sink.edges()[BYTES]
        assert (edge["connections"], edge["in_flight"], edge["protocol"]) == (1, 1.0, "tcp")
        assert edge["bytes_out"] == edge["bytes_in"] == 1000
        sock.sendall(b"y" * 500)
        assert sock.recv(500)
    wait(lambda: pair.sink.edges()[BYTES]["bytes_in"] == 1500, "its end")
    edge = pair.sink.edges()[BYTES]
    assert (edge["connections"], edge["in_flight"], edge["bytes_out"], edge["errors"]) == (1, 0.0, 1500, 0)
    assert (edge["mtls"], edge["requests"]) == (True, 0)
    assert set(pair.sink.edges()) == {BYTES}


def test_a_request_that_gets_no_answer_is_an_error(pair: Pair) -> None:
    with suppress(OSError), urllib.request.urlopen(pair.url("/slow"), timeout=0.5):
        pass
    pair.entries(1)
    edge = pair.sink.edges()[ORDERS]
    assert (edge["requests"], edge["errors"]) == (1, 1)
    history = pair.sink.collector.ledger.edges
    assert [each.total.classes for each in history.values()] == [[1, 0, 0, 0, 0, 0]]


def rbac(kind: str, *, audit: bool = False, **rule: Any) -> Json:
    """Envoy's own filter, which refuses by one rule (or would refuse), called shop/no/0."""
    rules = {"action": "DENY", "policies": {"shop/no/0": {"principals": [{"any": True}], **rule}}}
    more = {"stat_prefix": "x"} if kind == "network" else {}
    message = f"extensions.filters.{kind}.rbac.v3.RBAC"
    return envoy.typed(
        f"envoy.filters.{kind}.rbac", message, **{"shadow_rules" if audit else "rules": rules}, **more
    )


class TestPolicies:
    @pytest.fixture
    def policies(self) -> tuple[list[Json], list[Json]]:
        def path(prefix: str) -> list[Json]:
            return [{"url_path": {"path": {"prefix": prefix}}}]

        http = [rbac("http", permissions=path("/no")), rbac("http", audit=True, permissions=path("/audit"))]
        return http, [rbac("network", permissions=[{"any": True}])]

    def test_what_a_policy_refuses_or_would_refuse_is_told(self, pair: Pair) -> None:
        tap = Tap()
        pair.sink.collector.taps.join(tap)
        assert [get(pair.url(path)) for path in ("/no", "/audit", "/yes")] == [403, 200, 200]
        with suppress(OSError):
            pair.send(b"hello", "shop/orders/90")
        pair.entries(4)
        edges = pair.sink.edges()
        edge = edges[ORDERS]
        assert (edge["requests"], edge["denied"], edge["would_deny"], edge["errors"]) == (3, 1, 1, 0)
        lines = {line["path"]: line for line in (tap.lines.get_nowait() for _ in range(4))}
        told = {path: (each["policy"], each["denied"], each["would_deny"]) for path, each in lines.items()}
        assert told == {
            "/no": ("shop/no/0", True, False),
            "/audit": ("shop/no/0", False, True),
            "/yes": ("", False, False),
            "": ("shop/no/0", True, False),
        }
        assert (edges[BYTES]["connections"], edges[BYTES]["denied"]) == (1, 1)


def test_who_looks_on_sees_each_request(pair: Pair) -> None:
    taps = pair.sink.collector.taps
    everything, few = Tap(), Tap(Filter(source="web", target="shop/orders", path="/b", status="2xx"))
    taps.join(everything)
    taps.join(few)
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert get(pair.url("/a?q=1"), traceparent=parent) == 200
    assert get(pair.url("/b")) == 200
    assert get(pair.url("/c", service="nobody")) == 503
    pair.entries(3)
    lines: list[dict[str, Any]] = []
    with suppress(queue.Empty):
        while True:
            lines.append(everything.lines.get_nowait())
    found = {each["path"]: each for each in lines}
    assert set(found) == {"/a?q=1", "/b", "/c"}
    first = found["/a?q=1"]
    assert first["trace"] == "0af7651916cd43dd8448eb211c80319c"
    assert {key: first[key] for key in ("from", "to", "service", "pod", "method", "status", "flags")} == {
        "from": "shop/web", "to": "shop/orders", "service": "shop/orders/80", "pod": "orders-1",
        "method": "GET", "status": 200, "flags": [],
    }  # fmt: skip
    assert (first["mtls"], first["reporter"], first["details"]) == (True, "destination", "via_upstream")
    assert found["/c"]["flags"] == ["no_healthy_upstream"]
    assert (found["/c"]["reporter"], found["/c"]["status"]) == ("source", 503)
    assert few.lines.get_nowait()["path"] == "/b"
    assert few.lines.empty()


def test_a_stream_of_lines_ends_at_its_limit_and_is_left(pair: Pair) -> None:
    import threading

    taps, out = pair.sink.collector.taps, io.BytesIO()
    reader = threading.Thread(target=pages.stream, args=(taps, "limit=2&path=/a", out))
    reader.start()
    wait(lambda: taps.open, "the one who looks on")
    for path in ("/a1", "/b", "/a2", "/a3"):
        assert get(pair.url(path)) == 200
    reader.join(20)
    assert not reader.is_alive()
    assert [json.loads(line)["path"] for line in out.getvalue().split(b"\n") if line] == ["/a1", "/a2"]
    assert not taps.open
