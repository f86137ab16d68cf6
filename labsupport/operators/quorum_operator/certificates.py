"""The members' certificate authority, and when it signs for whom.

A member makes a key on its volume and sends a CertificateSigningRequest. The API server writes into it who asked, down
to the Pod (`spec.extra`, as bound ServiceAccount tokens have it), which nobody can forge. What the request itself says
is compared with that. Source: certificates.k8s.io/v1, and
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labsupport.operators.quorum_operator import names
from labsupport.quorum.wire import tls

ROOT_TTL, TTL, BACKDATED = timedelta(days=3650), timedelta(days=1), timedelta(minutes=1)
USAGES = frozenset({"digital signature", "key encipherment", "server auth", "client auth"})
POD_NAME, POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"
LONGEST = int(TTL.total_seconds())
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


@dataclass(frozen=True)
class Authority:
    """A root with its key, PEM texts; `seed` is what tokens are derived from."""

    certificate: str
    key: str = field(repr=False)
    seed: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class Asker:
    """The member that asks: where it is, its Pod's uid and address."""

    namespace: str
    quorum: str
    pod: str
    uid: str
    ip: str


class Denied(Exception):
    """No certificate for this request; the message says why, and reaches whoever made it."""


def new_authority(name: str, now: datetime, seed: bytes) -> Authority:
    """A root that signs certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + ROOT_TTL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(_pem(certificate), _key_pem(key), seed)


def asker(request: Mapping[str, Any], pod: Mapping[str, Any] | None) -> Asker:
    """Who made a CertificateSigningRequest. `pod`: the Pod of the name and namespace that `whose` gives.

    Errors: Denied where that is no member of a Quorum.
    """
    namespace, account, name, uid = whose(request)
    if pod is None:
        raise Denied(f"there is no Pod {namespace}/{name}")
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    if metadata["uid"] != uid or "deletionTimestamp" in metadata:
        raise Denied(f"the Pod {namespace}/{name} that asked is gone; another has its name")
    quorum = (metadata.get("labels") or {}).get(names.QUORUM, "")
    owners = [each for each in metadata.get("ownerReferences") or () if each.get("controller")]
    if not quorum or not any(each["kind"] == "StatefulSet" and each["name"] == quorum for each in owners):
        raise Denied(f"the Pod {namespace}/{name} is no member of a Quorum")
    if names.ordinal(quorum, name) < 0:
        raise Denied(f"{name} is no member's name in {quorum}")
    if account != names.account(quorum) or spec.get("serviceAccountName") != account:
        raise Denied(f"members of {quorum} ask as {names.account(quorum)}, this was {account}")
    return Asker(namespace, quorum, name, uid, (pod.get("status") or {}).get("podIP", ""))


def whose(request: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Namespace, ServiceAccount, Pod and its uid, as the API server wrote them down. Errors: Denied."""
    spec = request["spec"]
    words = str(spec.get("username", "")).split(":")
    if len(words) != 4 or words[:2] != ["system", "serviceaccount"]:
        raise Denied(f"{spec.get('username') or 'nobody'} is no ServiceAccount")
    extra = spec.get("extra") or {}
    pods, uids = extra.get(POD_NAME) or [], extra.get(POD_UID) or []
    if len(pods) != 1 or len(uids) != 1:
        raise Denied("the token that it was made with is bound to no Pod")
    return words[2], words[3], str(pods[0]), str(uids[0])


def check(request: Mapping[str, Any], of: Asker) -> PublicKey:
    """The key that a request is for, if all it asks for is what `of` may have. Errors: Denied."""
    spec = request["spec"]
    usages = set(spec.get("usages") or ())
    if not usages <= USAGES or not {"server auth", "client auth"} <= usages:
        raise Denied(f"usages must be among {', '.join(sorted(USAGES))}, with both kinds of auth")
    if not 600 <= int(spec.get("expirationSeconds") or LONGEST) <= LONGEST:
        raise Denied(f"expirationSeconds must be from 600 to {LONGEST}")
    try:
        asked = x509.load_pem_x509_csr(base64.b64decode(spec["request"], validate=True))
        key, signed = asked.public_key(), asked.is_signature_valid
        extensions = list(asked.extensions)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise Denied(f"the request cannot be read: {error}") from error
    if not signed:
        raise Denied("the request is not signed by its own key")
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise Denied("the key's curve must be P-256")
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        raise Denied("the key must be of P-256 or Ed25519")
    for each in extensions:
        if not isinstance(each.value, x509.SubjectAlternativeName):
            raise Denied(f"{each.oid.dotted_string}: no extension but subjectAltName is granted")
        _check_names(each.value, of)
    if not extensions:
        raise Denied(f"subjectAltName must have the URI {_uri(of)}")
    return key


def _check_names(found: x509.SubjectAlternativeName, of: Asker) -> None:
    allowed: set[Any] = {x509.UniformResourceIdentifier(_uri(of)), *map(x509.DNSName, _dns(of))}
    if of.ip:
        allowed.add(x509.IPAddress(IPv4Address(of.ip)))
    if others := [str(each.value) for each in found if each not in allowed]:
        raise Denied(f"{', '.join(others)}: not a name of {of.pod}")
    if x509.UniformResourceIdentifier(_uri(of)) not in list(found):
        raise Denied(f"subjectAltName must have the URI {_uri(of)}")


def _uri(of: Asker) -> str:
    return tls.identity(of.namespace, of.quorum, of.pod)


def _dns(of: Asker) -> tuple[str, ...]:
    """What a member is called by: its own name, and that of the Service that leads to the leader."""
    services = [
        f"{of.pod}.{names.members_service(of.quorum)}.{of.namespace}.svc",
        f"{names.leader_service(of.quorum)}.{of.namespace}.svc",
        f"{names.members_service(of.quorum)}.{of.namespace}.svc",
    ]
    return (*services, *(f"{each}.{names.DOMAIN}" for each in services))


def sign(authority: Authority, key: PublicKey, of: Asker, seconds: int, now: datetime) -> str:
    """A certificate for the member, PEM; what is in it is made here, not taken from the request."""
    said: list[x509.GeneralName] = [x509.UniformResourceIdentifier(_uri(of)), *map(x509.DNSName, _dns(of))]
    if of.ip:
        said.append(x509.IPAddress(IPv4Address(of.ip)))
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _issued(authority, key, of.pod, said, both, now, timedelta(seconds=seconds))


def serving(authority: Authority, dns: tuple[str, ...], now: datetime, ttl: timedelta) -> tuple[str, str]:
    """A certificate and a key for a server of our own that is called by `dns`; PEM texts."""
    key = ec.generate_private_key(ec.SECP256R1())
    said: list[x509.GeneralName] = [x509.DNSName(each) for each in dns]
    server = [ExtendedKeyUsageOID.SERVER_AUTH]
    return _issued(authority, key.public_key(), dns[0], said, server, now, ttl), _key_pem(key)


def _issued(
    authority: Authority,
    key: PublicKey,
    name: str,
    said: list[x509.GeneralName],
    usages: list[x509.ObjectIdentifier],
    now: datetime,
    ttl: timedelta,
) -> str:
    """A certificate that signs no others, PEM."""
    root = x509.load_pem_x509_certificate(authority.certificate.encode())
    signer = serialization.load_pem_private_key(authority.key.encode(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("the authority's key is of another kind than it makes")
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .issuer_name(root.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATED, root.not_valid_before_utc))
        .not_valid_after(min(now + ttl, root.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(said), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pem(certificate)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
