"""Who gets a certificate, and who does not, with the reason; tokens that are derived."""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from labsupport.operators.quorum_operator import certificates, kinds, names, parse, signer
from tests.operators.quorum.fakes import NAMESPACE, FakeApi, Writes, quorum

NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORITY = certificates.new_authority("test", NOW, b"seed")
URI = f"spiffe://labs.example/ns/{NAMESPACE}/quorum/q/q-0"
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
KEY = ec.generate_private_key(ec.SECP256R1())


def pem(
    key: Key = KEY, names_: tuple[str, ...] = (URI,), dns: tuple[str, ...] = (), extra: bool = False
) -> str:
    said: list[x509.GeneralName] = [x509.UniformResourceIdentifier(each) for each in names_]
    said += [x509.DNSName(each) for each in dns]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "system:masters")])
    )
    if said:
        builder = builder.add_extension(x509.SubjectAlternativeName(said), critical=False)
    if extra:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return base64.b64encode(builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)).decode()


def request(content: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "r"},
        "spec": {
            "request": content or pem(),
            "signerName": names.SIGNER,
            "username": f"system:serviceaccount:{NAMESPACE}:q-member",
            "extra": {certificates.POD_NAME: ["q-0"], certificates.POD_UID: ["pod-uid"]},
            "usages": ["digital signature", "server auth", "client auth"],
            "expirationSeconds": 3600,
            **spec,
        },
    }


def api(**changes: Any) -> FakeApi:
    made = FakeApi(Writes())
    owner = {"kind": "StatefulSet", "name": "q", "uid": "s", "controller": True}
    pod = {
        "metadata": {
            "name": "q-0",
            "uid": "pod-uid",
            "labels": {names.QUORUM: "q"},
            "ownerReferences": [owner],
        },
        "spec": {"serviceAccountName": "q-member"},
        "status": {"podIP": "10.0.0.7"},
    }
    pod["metadata"].update(changes)
    made.put(kinds.PODS, NAMESPACE, pod)
    return made


def answered(asked: dict[str, Any], on: FakeApi | None = None) -> tuple[str, dict[str, Any]]:
    on = on or api()
    on.objects[kinds.REQUESTS.plural, "", "r"] = copy.deepcopy(asked)
    said = signer.answer(on, AUTHORITY, asked, lambda: NOW)
    return said, on.objects[kinds.REQUESTS.plural, "", "r"]


def test_a_member_gets_a_certificate_for_its_own_names() -> None:
    said, found = answered(request(pem(dns=("q-0.q-members.lab.svc", "q-leader.lab.svc"))))
    assert said == "lab/q-0 has a certificate"
    certificate = x509.load_pem_x509_certificate(base64.b64decode(found["status"]["certificate"]))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY.certificate.encode()))
    shown = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert shown.get_values_for_type(x509.UniformResourceIdentifier) == [URI]
    assert certificate.public_key() == KEY.public_key()
    assert certificate.not_valid_after_utc == NOW + timedelta(hours=1)
    # What the request said of itself beyond that is not in it.
    assert "masters" not in certificate.subject.rfc4514_string()
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_ed25519_keys_are_signed_too() -> None:
    assert "has a certificate" in answered(request(pem(ed25519.Ed25519PrivateKey.generate())))[0]


REFUSED = {
    "another member's name": (request(pem(names_=(URI.replace("q-0", "q-1"),))), {}, "not a name of q-0"),
    "two URIs": (request(pem(names_=(URI, URI.replace("q-0", "q-1")))), {}, "not a name of q-0"),
    "another Quorum's service": (request(pem(dns=("p-leader.lab.svc",))), {}, "p-leader.lab.svc: not a name"),
    "no name at all": (request(pem(names_=())), {}, "must have the URI"),
    "a certificate authority": (request(pem(extra=True)), {}, "no extension but subjectAltName"),
    "a weak curve": (request(pem(ec.generate_private_key(ec.SECP192R1()))), {}, "must be P-256"),
    "RSA": (request(pem(rsa.generate_private_key(65537, 2048))), {}, "P-256 or Ed25519"),
    "not a request": (request(base64.b64encode(b"hello").decode()), {}, "cannot be read"),
    "for too long": (request(expirationSeconds=10**8), {}, "expirationSeconds"),
    "to sign code": (request(usages=["code signing", "server auth", "client auth"]), {}, "usages"),
    "a person": (request(username="ada"), {}, "ada is no ServiceAccount"),
    "another account": (
        request(username="system:serviceaccount:lab:default"),
        {},
        "members of q ask as q-member",
    ),
    "a token without a Pod": (request(extra={}), {}, "bound to no Pod"),
    "a Pod that is gone": (request(), {"uid": "another"}, "is gone"),
    "a Pod that ends": (request(), {"deletionTimestamp": "now"}, "is gone"),
    "a Pod of nobody": (request(), {"ownerReferences": []}, "is no member"),
    "a Pod without the label": (request(), {"labels": {}}, "is no member"),
    "a Pod elsewhere": (request(username="system:serviceaccount:other:q-member"), {}, "no Pod other/q-0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_denied_with_the_reason(name: str) -> None:
    asked, changes, why = REFUSED[name]
    said, found = answered(asked, api(**changes))
    assert "certificate" not in found["status"]
    (condition,) = found["status"]["conditions"]
    assert condition["type"] == "Denied"
    assert why in condition["message"]
    assert why in said


def test_requests_of_other_signers_and_answered_ones_are_left_alone() -> None:
    other = request(signerName="kubernetes.io/kube-apiserver-client")
    denied = request() | {"status": {"conditions": [{"type": "Denied"}]}}
    for asked in (other, denied):
        on = api()
        assert signer.answer(on, AUTHORITY, asked, lambda: NOW) == ""
        assert on.writes.count == 0


def test_who_approved_by_hand_has_it_signed_all_the_same_only_if_it_is_right() -> None:
    approved = {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    assert "has a certificate" in answered(request() | copy.deepcopy(approved))[0]
    assert "denied" in answered(request(username="ada") | approved)[0]


def test_tokens_differ_by_quorum_and_role_and_stay() -> None:
    one, two = (parse.quorum(_with(uid)) for uid in ("a", "b"))
    assert signer.tokens(AUTHORITY, one) == signer.tokens(AUTHORITY, one)
    assert len({*signer.tokens(AUTHORITY, one), *signer.tokens(AUTHORITY, two)}) == 4


def _with(uid: str) -> dict[str, Any]:
    made = quorum()
    made["metadata"] |= {"uid": uid, "namespace": NAMESPACE}
    return made


def test_two_that_start_at_once_have_one_authority() -> None:
    on = FakeApi(Writes())
    first = signer.load_or_create(on, NOW)
    stored = on.objects[kinds.SECRETS.plural, names.SYSTEM, names.AUTHORITY]
    stored["data"] = {
        key: base64.b64encode(text.encode()).decode() for key, text in stored.pop("stringData").items()
    }
    assert signer.load_or_create(on, NOW) == first
