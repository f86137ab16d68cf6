"""Who gets a certificate, and each reason why not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from labsupport import kube
from labsupport.mesh.identity import ca
from labsupport.mesh.identity.csr import Issued, Keys, certify
from labsupport.mesh.identity.tokens import RefusedRequest

if TYPE_CHECKING:
    from .conftest import Cluster

URI = "spiffe://labs.example/ns/shop/sa/orders"


def request(key: Any = None, *names: x509.GeneralName, subject: str = "") -> str:
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    signed = builder.sign(key or ca.new_key(), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


class Control:
    """The control plane's part of it."""

    def __init__(self, authority: ca.Authority, now: datetime) -> None:
        self.authority, self.now, self.keys = authority, now, Keys()

    def certify(self, token: str, csr: str) -> Issued:
        return certify(None, self.authority, token, csr, keys=self.keys, now=self.now)

    def refused(self, token: str, csr: str) -> RefusedRequest:
        with pytest.raises(RefusedRequest) as caught:
            self.certify(token, csr)
        return caught.value


@pytest.fixture
def control(authority: ca.Authority, now: datetime) -> Control:
    return Control(authority, now)


def test_a_pods_token_and_a_key_make_a_certificate(cluster: Cluster, control: Control) -> None:
    cluster.pod("good")
    key = ca.new_key()
    issued = control.certify("good", request(key, x509.UniformResourceIdentifier(URI)))
    made = x509.load_pem_x509_certificate(issued.chain.encode())
    assert made.public_key() == key.public_key()
    assert ca.identity_of(made) == ca.Identity("shop", "orders", "orders-1", "u-1")
    assert issued.answer() == {
        "chain": issued.chain,
        "roots": control.authority.roots_pem,
        "not_after": "2030-05-01T13:00:00Z",
    }


def test_nothing_in_the_request_but_its_key_is_believed(cluster: Cluster, control: Control) -> None:
    cluster.pod("good")
    issued = control.certify("good", request(subject="root of all"))
    made = x509.load_pem_x509_certificate(issued.chain.encode())
    assert "root of all" not in made.subject.rfc4514_string()
    assert ca.uris_of(made) == [URI]


@pytest.mark.parametrize(
    "names",
    [
        [x509.UniformResourceIdentifier("spiffe://labs.example/ns/shop/sa/admin")],
        [
            x509.UniformResourceIdentifier(URI),
            x509.UniformResourceIdentifier("spiffe://labs.example/ns/b/sa/c"),
        ],
        [x509.UniformResourceIdentifier(URI), x509.DNSName("mesh-control.labs-system.svc")],
        [x509.DNSName("mesh-control.labs-system.svc")],
        [x509.UniformResourceIdentifier(URI), x509.UniformResourceIdentifier(URI)],
        [x509.DNSName(URI)],
    ],
)
def test_another_name_than_its_own_is_refused(
    cluster: Cluster, control: Control, names: list[x509.GeneralName]
) -> None:
    cluster.pod("good")
    refusal = control.refused("good", request(None, *names))
    assert refusal.status == 403
    assert f"the token is that of {URI}" in refusal.text


def broken_signature() -> str:
    good, other = (x509.load_pem_x509_csr(request().encode()) for _ in "ab")
    spliced = good.public_bytes(serialization.Encoding.DER)
    own, foreign = (
        each.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        for each in (good, other)
    )
    return ssl_pem(spliced.replace(own, foreign))


def ssl_pem(der: bytes) -> str:
    import base64

    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        ("", "no certificate request"),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "no certificate request",
        ),
        ("x" * 9000, "longer than 8192 bytes"),
        (broken_signature(), "not signed by the key in it"),
        (request(rsa.generate_private_key(65537, 2048)), "another kind than EC on the curve P-256"),
        (request(ec.generate_private_key(ec.SECP384R1())), "another kind than EC on the curve P-256"),
    ],
)
def test_a_request_that_is_none_is_refused(cluster: Cluster, control: Control, csr: str, why: str) -> None:
    cluster.pod("good")
    refusal = control.refused("good", csr)
    assert refusal.status == 400
    assert why in refusal.text


def test_a_replayed_request_is_of_no_use_to_another_pod(cluster: Cluster, control: Control) -> None:
    cluster.pod("good")
    cluster.pod("thief", account="batch", name="batch-1", uid="u-2")
    csr = request()
    control.certify("good", csr)
    refusal = control.refused("thief", csr)
    assert refusal.status == 409
    assert "another Pod's" in refusal.text
    control.certify("good", csr)  # its owner may


def test_the_memory_of_keys_is_bounded(authority: ca.Authority) -> None:
    keys = Keys(limit=2)
    first, second, third = (ca.new_key().public_key() for _ in "abc")
    one, two = (ca.Identity("a", "b", "c", uid) for uid in ("1", "2"))
    for key in (first, second, first, third):
        keys.claim(key, one)
    with pytest.raises(RefusedRequest):
        keys.claim(first, two)  # was used again, so the second one was forgotten
    keys.claim(second, two)


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ({"authenticated": False, "error": "token has expired"}, 401, "token has expired"),
        ({"authenticated": False}, 401, "does not accept the token"),
        ({"audiences": ["api"]}, 401, "not for the audience mesh.labs.example"),
        ({"audiences": None}, 401, "not for the audience mesh.labs.example"),
        ({"user": {"username": "learner"}}, 403, "learner is no ServiceAccount"),
        ({"user": {"username": "shop:orders"}}, 403, "no ServiceAccount"),
        ({"user": {"username": "system:serviceaccount:shop:orders"}}, 403, "bound to no Pod"),
    ],
)
def test_a_token_that_is_not_one_of_ours_is_refused(
    cluster: Cluster, control: Control, change: dict[str, Any], status: int, why: str
) -> None:
    cluster.pod("token")
    cluster.tokens["token"] |= change
    refusal = control.refused("token", request())
    assert refusal.status == status
    assert why in refusal.text


def test_no_token_and_a_huge_one_are_refused_without_asking_anybody(
    cluster: Cluster, control: Control
) -> None:
    assert control.refused("", request()).status == 401
    assert control.refused("x" * 20_000, request()).status == 401
    assert cluster.asked == []


def test_the_bound_pod_is_looked_at(cluster: Cluster, control: Control) -> None:
    cluster.pod("token")
    pod = cluster.pods["shop", "orders-1"]
    pod["status"]["phase"] = "Succeeded"
    assert "has ended (Succeeded)" in control.refused("token", request()).text
    pod["status"]["phase"] = "Pending"  # init containers run, sidecars among them
    pod["metadata"]["deletionTimestamp"] = "2030-05-01T12:00:00Z"
    control.certify("token", request())
    pod["metadata"]["uid"] = "u-9"
    assert "of an earlier Pod shop/orders-1" in control.refused("token", request()).text
    pod["metadata"]["uid"], pod["spec"]["serviceAccountName"] = "u-1", "other"
    assert "runs as other" in control.refused("token", request()).text
    del cluster.pods["shop", "orders-1"]
    refusal = control.refused("token", request())
    assert (refusal.status, refusal.text) == (403, "There is no Pod shop/orders-1 any more.")


def test_who_is_nobody_learns_nothing_of_the_request(cluster: Cluster, control: Control) -> None:
    assert control.refused("unknown", "").status == 401


def test_trouble_with_the_api_server_is_no_refusal(
    cluster: Cluster, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*args: Any, **other: Any) -> Any:
        raise kube.Unreachable("no answer")

    monkeypatch.setattr(kube, "request", down)
    with pytest.raises(kube.Unreachable):
        control.certify("token", request())


def test_a_renewal_holds_from_now_on(cluster: Cluster, control: Control) -> None:
    cluster.pod("good")
    first = control.certify("good", request())
    control.now += timedelta(minutes=30)
    assert control.certify("good", request()).not_after - first.not_after == timedelta(minutes=30)
