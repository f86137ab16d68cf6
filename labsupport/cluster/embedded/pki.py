"""The cluster's certificates, made on the host before the node starts, and renewed at `up` when they near their end.

Layout: what the node needs lies in its /etc/kubernetes/pki; the administrator's key stays on the host.
Source: "PKI certificates and requirements" of the Kubernetes documentation; names and groups are those of kubeadm.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labsupport.paths import write_private

AUTHORITY_LIFE = datetime.timedelta(days=3650)
LEAF_LIFE = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)
CLOCK_SKEW = datetime.timedelta(minutes=10)


@dataclass(frozen=True)
class Leaf:
    """A certificate to issue: file name, subject and the names it is valid for."""

    file: str
    authority: str
    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()


def leaves(node: str, node_ip: str, service_ip: str) -> tuple[Leaf, ...]:
    """The certificates of the node's programs; addresses are those of the node and of the Service `kubernetes`."""
    api_names = (
        "localhost",
        "127.0.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        node,
        node_ip,
        service_ip,
    )
    return (
        Leaf("apiserver", "ca", "kube-apiserver", names=api_names),
        Leaf("apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", "kubeadm:cluster-admins"),
        Leaf("controller-manager", "ca", "system:kube-controller-manager"),
        Leaf("scheduler", "ca", "system:kube-scheduler"),
        Leaf("kube-proxy", "ca", "system:kube-proxy", "system:node-proxier"),
        Leaf("kubelet", "ca", f"system:node:{node}", "system:nodes", (node, node_ip)),
        Leaf("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
        Leaf("etcd", "etcd-ca", "etcd", names=("localhost", "127.0.0.1")),
        Leaf("apiserver-etcd-client", "etcd-ca", "kube-apiserver-etcd-client"),
        # Asks only for the health of the API server; kept in the node for its supervisor.
        Leaf("supervisor", "ca", "labs:supervisor"),
    )


def worker_leaves(node: str, node_ip: str) -> tuple[Leaf, ...]:
    """The certificates of a further node, which holds no part of the control plane."""
    return (
        Leaf("kube-proxy", "ca", "system:kube-proxy", "system:node-proxier"),
        Leaf("kubelet", "ca", f"system:node:{node}", "system:nodes", (node, node_ip)),
    )


ADMINISTRATOR = Leaf("admin", "ca", "labs:admin", "system:masters")
AUTHORITIES = {"ca": "kubernetes-ca", "front-proxy-ca": "front-proxy-ca", "etcd-ca": "etcd-ca"}


@dataclass(frozen=True)
class Authority:
    """A certificate authority that can sign."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def ensure(directory: Path, administrator: Path, wanted: tuple[Leaf, ...]) -> tuple[str, ...]:
    """Make what is missing, unreadable or near its end; returns the names of the files that were written.

    `directory` takes all but the administrator's certificate, which goes to `administrator`. Files are 0600.
    Keys are EC P-256. The key of service account tokens is never renewed: tokens of running Pods depend on it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    administrator.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    authorities: dict[str, Authority] = {}
    for file, common_name in AUTHORITIES.items():
        authority = _load_authority(directory, file)
        if authority is None:
            authority = _new_authority(common_name)
            _write(directory, file, authority.key, authority.certificate)
            written.append(file)
        authorities[file] = authority
    if not (directory / "sa.pub").exists() or not (directory / "sa.key").exists():
        key = ec.generate_private_key(ec.SECP256R1())
        write_private(directory / "sa.key", _key_pem(key))
        write_private(directory / "sa.pub", _public_pem(key))
        written.append("sa")
    for leaf, place in [*((leaf, directory) for leaf in wanted), (ADMINISTRATOR, administrator)]:
        authority = authorities[leaf.authority]
        if leaf.authority in written or not _is_valid(place, leaf, authority):
            key = ec.generate_private_key(ec.SECP256R1())
            _write(place, leaf.file, key, _issue(leaf, key, authority))
            written.append(leaf.file)
    return tuple(written)


def ensure_worker(directory: Path, authorities: Path, wanted: tuple[Leaf, ...]) -> tuple[str, ...]:
    """Make what a further node lacks; returns the names of the files that were written.

    `authorities` is the first node's directory, which `ensure` has filled; of it the new node gets the certificate
    of the authority `ca`, and no key.
    """
    directory.mkdir(parents=True, exist_ok=True)
    certificate = (authorities / "ca.crt").read_bytes()
    write_private(directory / "ca.crt", certificate)
    written = due_worker(directory, authorities, wanted)
    for leaf in wanted:
        authority = _load_authority(authorities, leaf.authority)
        if leaf.file in written and authority:
            key = ec.generate_private_key(ec.SECP256R1())
            _write(directory, leaf.file, key, _issue(leaf, key, authority))
    return written


def due_worker(directory: Path, authorities: Path, wanted: tuple[Leaf, ...]) -> tuple[str, ...]:
    """Names of the files that `ensure_worker` would write now; none while the authority itself is due."""
    loaded = {leaf.authority: _load_authority(authorities, leaf.authority) for leaf in wanted}
    return tuple(
        leaf.file
        for leaf in wanted
        if (authority := loaded[leaf.authority]) and not _is_valid(directory, leaf, authority)
    )


def due(directory: Path, administrator: Path, wanted: tuple[Leaf, ...]) -> tuple[str, ...]:
    """Names of the files that `ensure` would write now."""
    authorities = {file: _load_authority(directory, file) for file in AUTHORITIES}
    names = [file for file, authority in authorities.items() if authority is None]
    for leaf, place in [*((leaf, directory) for leaf in wanted), (ADMINISTRATOR, administrator)]:
        authority = authorities[leaf.authority]
        if authority is None or not _is_valid(place, leaf, authority):
            names.append(leaf.file)
    return tuple(names)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _new_authority(common_name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, name, key, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key, certificate)


def _issue(leaf: Leaf, key: ec.EllipticCurvePrivateKey, authority: Authority) -> x509.Certificate:
    attributes = (
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, leaf.organization)] if leaf.organization else []
    )
    attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, leaf.common_name))
    authority_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(x509.Name(attributes), authority.certificate.subject, key, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key), critical=False
        )
    )
    if leaf.names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in leaf.names]), critical=False
        )
    return builder.sign(authority.key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _general_names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _load_authority(directory: Path, file: str) -> Authority | None:
    certificate, key = _load(directory, file)
    if certificate is None or key is None or certificate.not_valid_after_utc - _now() < RENEW_BEFORE:
        return None
    return Authority(key, certificate)


def _is_valid(directory: Path, leaf: Leaf, authority: Authority) -> bool:
    certificate, key = _load(directory, leaf.file)
    if certificate is None or key is None:
        return False
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return certificate.not_valid_after_utc - _now() >= RENEW_BEFORE and _general_names(certificate) == set(
        leaf.names
    )


def _load(directory: Path, file: str) -> tuple[x509.Certificate | None, ec.EllipticCurvePrivateKey | None]:
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{file}.crt").read_bytes())
        key = serialization.load_pem_private_key((directory / f"{file}.key").read_bytes(), None)
    except (FileNotFoundError, ValueError):
        return None, None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or _raw(key) != certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ):
        return None, None
    return certificate, key


def _raw(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _write(
    directory: Path, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> None:
    write_private(directory / f"{file}.key", _key_pem(key))
    write_private(directory / f"{file}.crt", certificate.public_bytes(serialization.Encoding.PEM))
