"""The authority that asks a learner's function: what it reads of a request, and what becomes of the decision."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from labsupport.course.certificates import certificate_request
from labsupport.operators import authority as host

URI = "spiffe://labs.example/ns/shop/sa/orders"
POD = {"metadata": {"name": "orders-1", "uid": "u1"}}


def request(*names: x509.GeneralName, key: Any = None) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(Encoding.PEM).decode()


class Decides:
    """Stands for the learner's function."""

    name = "decide"

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.seen: list[dict[str, Any]] = []

    def function(self, review: Any, pod: Any, csr: dict[str, Any]) -> Any:
        self.seen.append(dict(csr))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def guard(self, about: str, limit: float) -> Any:
        return contextlib.nullcontext()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(host, "review_of", lambda api, token: {"user": {"username": token}})
    monkeypatch.setattr(host, "pod_of", lambda api, review: POD)

    def ask(decides: Decides, *bodies: dict[str, str]) -> list[tuple[int, dict[str, str]]]:
        authority = host.Authority(decides, None)  # type: ignore[arg-type]
        return [authority.answer(json.dumps(each).encode()) for each in bodies]

    return ask


def test_all_names_of_a_request_are_read() -> None:
    _, said = host.read_csr(request(x509.UniformResourceIdentifier(URI), x509.DNSName("orders.shop.svc")))
    assert said["names"] == [URI, "orders.shop.svc"]
    assert said["signed"]
    assert host.read_csr(request())[1]["names"] == []


def test_what_is_decided_is_certified(asked: Any) -> None:
    ((status, content),) = asked(Decides(URI), {"token": "t", "csr": request()})
    assert (status, content["id"]) == (200, URI)
    certificate = x509.load_pem_x509_certificate(content["certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [URI]


def test_a_refusal_is_told_and_a_key_that_was_brought_is_remembered(asked: Any) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    body = {"token": "t", "csr": request(key=key)}
    decides = Decides(URI)
    asked(decides, body, body)
    assert [each["brought_by"] for each in decides.seen] == ["", "u1"]
    ((status, content),) = asked(Decides(host.NotCertified("gone")), body)
    assert (status, content) == (403, {"error": "gone"})


def test_what_is_no_request_is_not_decided(asked: Any) -> None:
    decides = Decides(URI)
    ((status, _),) = asked(decides, {"token": "t", "csr": "nothing"})
    assert (status, decides.seen) == (400, [])


def test_a_decision_that_is_none_is_a_failure(asked: Any) -> None:
    with pytest.raises(TypeError, match="decide returned NoneType"):
        asked(Decides(None), {"token": "t", "csr": request()})


def test_a_request_of_the_course_is_read() -> None:
    assert host.read_csr(certificate_request(URI))[1]["names"] == [URI]
    assert host.read_csr(certificate_request())[1]["names"] == []
