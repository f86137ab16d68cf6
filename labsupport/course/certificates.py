"""A certificate authority of the learner's own, small enough to read: what it signs, and how long that holds.

X.509 as in RFC 5280; who a certificate is for stands in its subjectAltName (RFC 9525), never in its common name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, both as PEM text."""

    certificate: str
    key: str


class Authority:
    """An authority with a key of its own, which never leaves this object."""

    def __init__(self, name: str, lasts: timedelta = 24 * HOUR) -> None:
        """`lasts`: how long its own certificate holds, and with it all that it signs."""
        self.name = name
        self.lasts = lasts
        self._key = ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def certificate(self) -> str:
        """What whoever trusts this authority must have: its own certificate, signed by itself, as PEM text."""
        builder = _builder(self.name, self._key.public_key(), self.name, -HOUR, self.lasts)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(sign=False), critical=True)
        return _pem(builder.sign(self._key, hashes.SHA256()))

    def issue(
        self,
        *names: str,
        since: timedelta = -HOUR,
        until: timedelta = 24 * HOUR,
        signer: Authority | None = None,
    ) -> Issued:
        """A server's certificate for the DNS `names`, valid from `since` to `until`, both counted from now.

        `signer`: whose key signs it in this authority's name (default: its own); anyone can write a name down.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(names[0], key.public_key(), self.name, since, until)
        builder = builder.add_extension(_alternatives(names), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(sign=True), critical=True)
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        signing = (signer or self)._key
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(issuer, critical=False)
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(_pem(builder.sign(signing, hashes.SHA256())), secret.decode())


def certificate_request(*uris: str) -> str:
    """A certificate request (PKCS #10, RFC 2986) of a new key for `uris`, as PEM text; the key is thrown away."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if uris:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
        builder = builder.add_extension(names, critical=False)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _builder(
    subject: str, public: ec.EllipticCurvePublicKey, issuer: str, since: timedelta, until: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _alternatives(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in names])


def _usage(*, sign: bool) -> x509.KeyUsage:
    """A server's key signs handshakes, an authority's key signs certificates."""
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
