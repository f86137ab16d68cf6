"""Certificates of a Gateway's TLS listeners: what is read of a Secret of type kubernetes.io/tls. Pure.

The control plane may read no Secret that nobody has opened to it: docs in README.md, "From outside". What is wrong with
one is said in the listener's status (ResolvedRefs, InvalidCertificateRef).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from labsupport.mesh import names
from labsupport.mesh.api import Name, Object

TYPE = "kubernetes.io/tls"
CHAIN, KEY = "tls.crt", "tls.key"


@dataclass(frozen=True)
class Certificate:
    """A chain and its key (PEM), or why there is none."""

    chain: str = ""
    key: str = field(default="", repr=False)
    fault: str = ""


def read(name: Name, found: Object | None) -> Certificate:
    """What a Secret has, as it is stored; None where there is none."""
    if found is None:
        return Certificate(fault=f"there is no Secret {name}")
    if found.get("type") != TYPE:
        return Certificate(fault=f"Secret {name} is of type {found.get('type', 'Opaque')}, not {TYPE}")
    data = found.get("data") or {}
    try:
        chain, key = (base64.b64decode(data.get(each, ""), validate=True) for each in (CHAIN, KEY))
    except binascii.Error:
        return Certificate(fault=f"Secret {name} cannot be read")
    why = _fault(chain, key)
    if why:
        return Certificate(fault=f"Secret {name}: {why}")
    return Certificate(chain.decode(), key.decode())


def _fault(chain: bytes, key: bytes) -> str:
    """Why these are no certificate and its key; "" if they are. Envoy would refuse the whole listener."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        first, *_ = x509.load_pem_x509_certificates(chain)
    except ValueError:
        return f"{CHAIN} is no certificate in PEM"
    try:
        private = serialization.load_pem_private_key(key, None)
    except (ValueError, TypeError):
        return f"{KEY} is no private key in PEM without a password"
    kind = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if private.public_key().public_bytes(*kind) != first.public_key().public_bytes(*kind):
        return f"{KEY} is not the key of {CHAIN}"
    return ""


def closed(name: Name) -> Certificate:
    """The control plane may not read a Secret; says how to open it, and this one alone."""
    role = f"mesh-{name.name}"
    here = f"-n {name.namespace}"
    return Certificate(
        fault=f"the mesh may not read Secret {name}. Open it: "
        f"kubectl {here} create role {role} --verb=get --resource=secrets --resource-name={name.name}; "
        f"kubectl {here} create rolebinding {role} --role={role} --serviceaccount={names.SYSTEM}:{names.CONTROL}"
    )
