"""The authority of the mesh: what it signs, and what a certificate says.

Certificates are X.509 (RFC 5280) and follow the rules of SPIFFE for them (X509-SVID,
https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md): one URI in subjectAltName is the identity; a
workload's certificate signs no others, the authority's own carries the trust domain and no path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labsupport.mesh.names import TRUST_DOMAIN, spiffe_id

# A cluster's own roots hold ten years as well (kubeadm's), so no mesh ends before its cluster does. Whoever wants less
# rotates; a root that ends unseen would end every connection at once.
ROOT_TTL = timedelta(days=3650)
TTL = timedelta(hours=1)  # of a workload's certificate
BACKDATED = timedelta(minutes=1)  # clocks of two nodes may differ by this much
COMMON_NAME_LIMIT = 64  # characters (RFC 5280, appendix A.1: ub-common-name)

# How `spiffe_id` writes one, read back.
URI = re.compile(rf"spiffe://{re.escape(TRUST_DOMAIN)}/ns/(?P<namespace>[^/]+)/sa/(?P<account>[^/]+)")

Key = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey


@dataclass(frozen=True)
class Identity:
    """Whom a certificate is for: a ServiceAccount, and the one Pod that asked for it."""

    namespace: str
    service_account: str
    pod: str
    uid: str

    @property
    def uri(self) -> str:
        """The SPIFFE ID. Policies look at this alone; Pod and uid are for the control plane."""
        return spiffe_id(self.namespace, self.service_account)


@dataclass(frozen=True)
class Root:
    """A root certificate, and its key where this authority may still sign with it."""

    name: str
    certificate: x509.Certificate
    key: Key | None = field(
        default=None, repr=False, compare=False
    )  # a key read twice is not equal to itself

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        return pem(self.certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal: by it two people compare roots."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@dataclass(frozen=True)
class Authority:
    """The root that signs, and the others that are trusted as well (during a rotation: the next or the last one)."""

    signer: Root
    others: tuple[Root, ...] = ()

    @cached_property
    def roots_pem(self) -> str:
        """What everyone in the mesh must trust, as PEM text; the root that signs comes first."""
        return "".join(root.pem for root in (self.signer, *self.others))

    def issue(
        self,
        public_key: PublicKey,
        identity: Identity,
        ttl: timedelta = TTL,
        *,
        now: datetime,
        dns: Sequence[str] = (),
    ) -> x509.Certificate:
        """A certificate for `identity`: both ends of a connection may show it. It never outlives its root.

        `dns`: names that a server is called by as well (the control plane's own). Errors: ValueError where the root
        has no key or has ended.
        """
        root = self.signer.certificate
        if self.signer.key is None:
            raise ValueError(f"There is no key of {self.signer.name} to sign with.")
        if root.not_valid_after_utc <= now:
            raise ValueError(f"{self.signer.name} ended at {root.not_valid_after_utc:%Y-%m-%d %H:%M} UTC.")
        names = [x509.UniformResourceIdentifier(identity.uri), *(x509.DNSName(name) for name in dns)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(identity))
            .issuer_name(root.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(max(now - BACKDATED, root.not_valid_before_utc))
            .not_valid_after(min(now + ttl, root.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),  # type: ignore[arg-type]
                critical=False,
            )
        )
        return builder.sign(self.signer.key, hashes.SHA256())


def new_key() -> Key:
    """A key on the curve P-256, the one that every TLS library has and signs with fastest."""
    return ec.generate_private_key(ec.SECP256R1())


def new_root(name: str, now: datetime, ttl: timedelta = ROOT_TTL) -> Root:
    """A root with a key of its own, signed by itself; `name` is its common name."""
    key = new_key()
    names = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, TRUST_DOMAIN),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    domain = x509.UniformResourceIdentifier(f"spiffe://{TRUST_DOMAIN}")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(names)
        .issuer_name(names)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + ttl)
        .add_extension(x509.SubjectAlternativeName([domain]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Root(name, certificate, key)


def subject(identity: Identity) -> x509.Name:
    """The name in the certificate: for people and for the control plane; the identity is not read from it.

    A Pod's name may be longer than a common name; then it stands in dnQualifier, which has no limit (RFC 5280,
    4.1.2.4 and appendix A.1).
    """
    fits = len(identity.pod) <= COMMON_NAME_LIMIT
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.namespace),
            x509.NameAttribute(NameOID.COMMON_NAME if fits else NameOID.DN_QUALIFIER, identity.pod),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, identity.uid),
        ]
    )


def identity_of(certificate: x509.Certificate | bytes | str) -> Identity:
    """For whom this authority issued `certificate` (or its PEM text). Its signature is the caller's to have checked.

    Errors: ValueError where it is no workload's certificate of this trust domain.
    """
    if not isinstance(certificate, x509.Certificate):
        text = certificate.encode() if isinstance(certificate, str) else certificate
        certificate = x509.load_pem_x509_certificate(text)
    uris = uris_of(certificate)
    if len(uris) != 1:
        raise ValueError(f"It names {len(uris)} URIs; an identity is exactly one.")
    found = URI.fullmatch(uris[0])
    if not found:
        raise ValueError(f"{uris[0]} is no identity of {TRUST_DOMAIN}.")
    named = certificate.subject
    pod = _first(named, NameOID.COMMON_NAME) or _first(named, NameOID.DN_QUALIFIER)
    return Identity(found["namespace"], found["account"], pod, _first(named, NameOID.SERIAL_NUMBER))


def uris_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """The URIs in its subjectAltName."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def pem(certificate: x509.Certificate) -> str:
    """A certificate as PEM text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: Key) -> str:
    """A key as PEM text (PKCS #8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _first(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    return str(found[0].value) if found else ""


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
