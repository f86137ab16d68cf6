"""What real proxies report of real requests, and that each is counted once."""

from __future__ import annotations

import http.client
import socket
import urllib.request
from contextlib import suppress
from typing import Any
from urllib.error import HTTPError

from labsupport.mesh.telemetry import ledger
from tests.mesh.conftest import wait
from tests.mesh.telemetry.conftest import Pair

ORDERS = ("shop/web", "shop/orders", "shop/orders/80")


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
    for _ in range(20):
        assert get(pair.url("/a?b=c")) == 200
    pair.entries(20)
    edges = pair.sink.edges()
    assert set(edges) == {ORDERS}
    edge = edges[ORDERS]
    assert (edge["requests"], edge["errors"], edge["mtls"], edge["protocol"]) == (20, 0, True, "http")
    assert 0 < edge["p50_ms"] <= edge["p90_ms"] <= edge["p99_ms"]
    assert 0 < edge["rate"] <= 20
    nodes = {each["id"]: each for each in pair.sink.graph()["nodes"]}
    assert set(nodes) == {"shop/web", "shop/orders"}
    assert nodes["shop/orders"] == {
        "id": "shop/orders", "namespace": "shop", "account": "orders", "workloads": ["orders-1"],
        "kind": "workload", "ready": 1, "proxies": 1,
    }  # fmt: skip
    assert pair.sink.collector.ledger.lost == 0
