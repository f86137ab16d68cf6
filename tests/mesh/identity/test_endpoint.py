"""`POST /certificates`: how the outcome is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from labsupport import kube
from labsupport.mesh.https import Request
from labsupport.mesh.identity import ca
from labsupport.mesh.identity.csr import Issued, Keys
from labsupport.mesh.identity.endpoint import certificates
from labsupport.mesh.identity.tokens import RefusedRequest
from labsupport.mesh.proxy.certificate import key_and_request

if TYPE_CHECKING:
    from .conftest import Cluster

URI = "spiffe://labs.example/ns/shop/sa/orders"


class Endpoint:
    def __init__(self, authority: ca.Authority) -> None:
        self.told: list[Issued | RefusedRequest] = []
        self.handle = certificates(None, lambda: authority, keys=Keys(), told=self.told.append)

    def ask(self, token: str, body: bytes) -> tuple[int, Any]:
        answer = self.handle(Request("POST", "/certificates", "", {"authorization": token}, body))
        return answer.status, json.loads(answer.body)


@pytest.fixture
def endpoint() -> Endpoint:
    from datetime import UTC, datetime

    return Endpoint(ca.Authority(ca.new_root("root-1", datetime.now(UTC))))


def test_what_openssl_asks_for_is_given(cluster: Cluster, endpoint: Endpoint) -> None:
    cluster.pod("good")
    _, csr = key_and_request(URI)
    status, content = endpoint.ask("Bearer good", json.dumps({"csr": csr}).encode())
    assert status == 200
    assert sorted(content) == ["chain", "not_after", "roots"]
    assert [type(outcome) for outcome in endpoint.told] == [Issued]
    assert ca.identity_of(content["chain"]).uri == URI


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"csr": 1}', b"\xff"])
def test_a_body_that_is_none_is_told_what_it_should_be(
    cluster: Cluster, endpoint: Endpoint, body: bytes
) -> None:
    cluster.pod("good")
    status, content = endpoint.ask("Bearer good", body)
    assert status == 400
    assert "The body must be JSON" in content["error"]


@pytest.mark.parametrize("token", ["", "Basic good", "good", "Bearer", "Bearer bad"])
def test_without_a_good_token_it_is_401(cluster: Cluster, endpoint: Endpoint, token: str) -> None:
    cluster.pod("good")
    _, csr = key_and_request(URI)
    status, content = endpoint.ask(token, json.dumps({"csr": csr}).encode())
    assert status == 401
    assert "token" in content["error"]
    assert [type(outcome) for outcome in endpoint.told] == [RefusedRequest]


def test_an_api_server_that_is_away_is_503(
    cluster: Cluster, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any, **other: Any) -> Any:
        raise kube.Unreachable("no answer")

    monkeypatch.setattr(kube, "request", down)
    _, csr = key_and_request(URI)
    status, content = endpoint.ask("Bearer good", json.dumps({"csr": csr}).encode())
    assert (status, content) == (503, {"error": "The API server cannot be asked: no answer"})
    assert endpoint.told == []
