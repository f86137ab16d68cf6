"""A member's certificate: the key is made on its volume and stays there; the API server has it certified.

CertificateSigningRequest (certificates.k8s.io/v1): the API server notes in `spec.extra` which Pod the requester's token
is bound to, so the signer knows who asks without trusting the request.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from labsupport import kube
from labsupport.quorum.configuration import SIGNER
from labsupport.quorum.private_file import write
from labsupport.quorum.wire import tls

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LIFE = 86_400  # seconds
RENEW = 2 / 3  # of its life
PATIENCE = 300.0  # seconds for the signer; then it is asked again


def files(directory: Path, authority: Path) -> tls.Files:
    """Where key and certificate are on the volume."""
    return tls.Files(directory / "key.pem", directory / "certificate.pem", authority)


def due(at: tls.Files, now: datetime | None = None) -> float:
    """Seconds until the certificate should be renewed; 0 or less: now, or there is none that can be used."""
    try:
        certificate = x509.load_pem_x509_certificate(at.certificate.read_bytes())
        key = serialization.load_pem_private_key(at.key.read_bytes(), None)
        roots = x509.load_pem_x509_certificates(at.authority.read_bytes())
    except (OSError, ValueError):
        return 0.0
    if key.public_key() != certificate.public_key() or not any(_signed(certificate, root) for root in roots):
        return 0.0
    begun, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (begun + (ends - begun) * RENEW - (now or datetime.now(UTC))).total_seconds()


def ask(api: ApiClient, at: tls.Files, namespace: str, quorum: str, pod: str, hosts: list[str]) -> None:
    """Make a new key, have it certified, and put both in place. Raises LabsError: refused, or nobody signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = signing_request(key, tls.identity(namespace, quorum, pod), pod, hosts)
    name = f"quorum-{namespace}-{pod}-{hashlib.sha256(request).hexdigest()[:10]}"
    wanted = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name, "labels": {"labs.example/part-of": "course"}},
        "spec": {
            "request": base64.b64encode(request).decode(),
            "signerName": SIGNER,
            "expirationSeconds": LIFE,
            "usages": ["digital signature", "server auth", "client auth"],
        },
    }
    kube.request(api, "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", body=wanted)
    target = kube.Target("certificates.k8s.io/v1", "CertificateSigningRequest", name)
    (answer,) = kube.until(api, target, issued, timeout=PATIENCE)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write(at.key, private)  # a crash between the two is found by `due`: the pair does not fit
    write(at.certificate, base64.b64decode(answer["status"]["certificate"]))


def signing_request(key: ec.EllipticCurvePrivateKey, uri: str, pod: str, hosts: list[str]) -> bytes:
    """A PKCS #10 request (RFC 2986) in PEM for these names."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
    names += [x509.DNSName(host) for host in hosts]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, pod[:64])])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def issued(objects: list[dict[str, Any]]) -> kube.Seen:
    """Whether the request has been answered."""
    if not objects:
        return kube.Seen(False, "the request is gone before it was answered", failed=True)
    status = objects[0].get("status", {})
    refused = [each for each in status.get("conditions", ()) if each["type"] in ("Denied", "Failed")]
    if refused:
        return kube.Seen(False, f"{refused[0]['type']}: {refused[0].get('message', '')}", failed=True)
    return kube.Seen(bool(status.get("certificate")), "nobody has signed it yet: is the operator running?")


def _signed(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except Exception:  # of any kind: it is not signed by this one
        return False
    return True
