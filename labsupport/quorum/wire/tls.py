"""Mutual TLS between members: TLS 1.3, both sides with a certificate of the Quorum's authority.

Who a member is stands in its certificate as a URI (RFC 5280, subjectAltName), in the form of a SPIFFE ID. Host names
are not looked at: a Pod's address says nothing about who answers there.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRUST_DOMAIN = "labs.example"
URI = re.compile(
    rf"spiffe://{re.escape(TRUST_DOMAIN)}/ns/(?P<namespace>[^/]+)/quorum/(?P<quorum>[^/]+)/(?P<pod>[^/]+)"
)


@dataclass(frozen=True)
class Files:
    """Where a member's key, its certificate (PEM, with the chain) and the authority's certificates are."""

    key: Path
    certificate: Path
    authority: Path


def identity(namespace: str, quorum: str, pod: str) -> str:
    """The URI of a member's certificate."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/quorum/{quorum}/{pod}"


def peer_name(certificate: Any, namespace: str, quorum: str) -> str | None:
    """The Pod's name in a peer's certificate (as `ssl.SSLObject.getpeercert` gives it); None if no member of ours.

    A certificate with two URIs is nobody's (X509-SVID, section 2).
    """
    names = [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]
    found = URI.fullmatch(names[0]) if len(names) == 1 else None
    if found is None or found["namespace"] != namespace or found["quorum"] != quorum:
        return None
    return found["pod"]


def server(files: Files, *, clients_certified: bool) -> ssl.SSLContext:
    """The context of what listens; `clients_certified` if whoever comes must show a certificate of the authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # a resumed session would carry on with the certificate of its first handshake
    if clients_certified:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(files.authority)
    load(context, files)
    return context


def client(files: Files) -> ssl.SSLContext:
    """The context of what calls another member. The caller must look at `peer_name` after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # `peer_name` is checked
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(files.authority)
    load(context, files)
    return context


def load(context: ssl.SSLContext, files: Files) -> None:
    """Use the key and the certificate that are in the files now, for handshakes from here on."""
    context.load_cert_chain(files.certificate, files.key)
