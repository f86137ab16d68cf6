"""What a certificate says, and who believes it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from labsupport.mesh.identity import ca

IDENTITY = ca.Identity("shop", "orders", "orders-5d9c-x2x", "c0ffee00-1111-2222-3333-444455556666")


def extension(certificate: x509.Certificate, kind: type) -> x509.Extension:
    return certificate.extensions.get_extension_for_class(kind)


def test_a_workloads_certificate_is_an_svid(authority: ca.Authority, now: datetime) -> None:
    key = ca.new_key()
    made = authority.issue(key.public_key(), IDENTITY, now=now)
    names = extension(made, x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["spiffe://labs.example/ns/shop/sa/orders"]
    assert extension(made, x509.BasicConstraints).value.ca is False
    usage = extension(made, x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert made.public_key() == key.public_key()
    assert made.subject.rfc4514_string() == (
        "2.5.4.5=c0ffee00-1111-2222-3333-444455556666,CN=orders-5d9c-x2x,O=shop"
    )
    assert (made.not_valid_before_utc, made.not_valid_after_utc) == (
        now - timedelta(minutes=1),
        now + timedelta(hours=1),
    )
    made.verify_directly_issued_by(authority.signer.certificate)


def test_the_root_carries_the_trust_domain_and_may_sign_leaves_only(authority: ca.Authority) -> None:
    root = authority.signer.certificate
    assert ca.uris_of(root) == ["spiffe://labs.example"]
    constraints = extension(root, x509.BasicConstraints)
    assert constraints.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert extension(root, x509.KeyUsage).value.key_cert_sign
    assert "key=" not in repr(authority)


def verified(authority: ca.Authority, certificate: x509.Certificate, at: datetime) -> bool:
    builder = (
        PolicyBuilder().store(Store(x509.load_pem_x509_certificates(authority.roots_pem.encode()))).time(at)
    )
    try:
        builder.build_server_verifier(x509.DNSName("mesh-control.labs-system.svc")).verify(certificate, [])
    except VerificationError:
        return False
    return True


def test_strangers_verifier_accepts_it_while_it_holds_and_by_its_roots(
    authority: ca.Authority, now: datetime
) -> None:
    made = authority.issue(ca.new_key().public_key(), IDENTITY, now=now, dns=["mesh-control.labs-system.svc"])
    assert verified(authority, made, now)
    assert not verified(authority, made, now + timedelta(minutes=61))
    other = ca.Authority(ca.new_root("root-1", now))
    assert not verified(other, made, now)
    assert verified(ca.Authority(other.signer, (authority.signer,)), made, now)


def test_it_never_outlives_its_root(now: datetime) -> None:
    short = ca.Authority(ca.new_root("root-1", now, ttl=timedelta(minutes=10)))
    made = short.issue(ca.new_key().public_key(), IDENTITY, now=now)
    assert made.not_valid_after_utc == now + timedelta(minutes=10)
    with pytest.raises(ValueError, match="root-1 ended at"):
        short.issue(ca.new_key().public_key(), IDENTITY, now=now + timedelta(minutes=10))


def test_a_root_without_its_key_signs_nothing(authority: ca.Authority, now: datetime) -> None:
    trusted = ca.Authority(ca.Root("root-1", authority.signer.certificate))
    with pytest.raises(ValueError, match="no key of root-1"):
        trusted.issue(ca.new_key().public_key(), IDENTITY, now=now)


@pytest.mark.parametrize("pod", ["a", "p" * 64, "p" * 65, "x." * 126 + "x"])
def test_the_pod_is_read_back_whatever_its_name(authority: ca.Authority, now: datetime, pod: str) -> None:
    identity = ca.Identity("n" * 63, "orders", pod, IDENTITY.uid)
    made = authority.issue(ca.new_key().public_key(), identity, now=now)
    assert ca.identity_of(made) == identity
    assert ca.identity_of(ca.pem(made)) == identity
    assert ca.identity_of(ca.pem(made).encode()) == identity


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://labs.example/ns/a/sa/b", "spiffe://labs.example/ns/a/sa/c"],
        ["spiffe://other.example/ns/a/sa/b"],
        ["spiffe://labs.example/ns/a/sa/"],
        ["spiffe://labs.example"],
        ["https://labs.example/ns/a/sa/b"],
        ["spiffe://labs.example/x/ns/a/sa/b"],
    ],
)
def test_what_is_no_identity_is_not_taken_for_one(now: datetime, uris: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
    )
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        builder = builder.add_extension(names, critical=False)
    with pytest.raises(ValueError, match=r"is no identity|names \d URIs"):
        ca.identity_of(builder.sign(key, hashes.SHA256()))
