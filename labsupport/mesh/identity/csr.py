"""A certificate for who asks: the token says who that is, the request (PKCS #10, RFC 2986) brings the public key.

A request is signed by its key, so whoever sends it had that key once; that says nothing about who sends it now. Hence
nothing in a request is believed but the key, and a key belongs to the Pod that brought it first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from labsupport.mesh.identity.ca import TTL, Authority, Identity, PublicKey, pem, uris_of
from labsupport.mesh.identity.tokens import FORBIDDEN, RefusedRequest, identify

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

BAD_REQUEST, CONFLICT = 400, 409
CSR_LIMIT = 8 * 1024  # bytes; one with a P-256 key has about 500
REMEMBERED = 10_000  # keys: ten renewals of 1,000 Pods, about 2 MB


@dataclass(frozen=True)
class Issued:
    """What the one who asked is given; `chain` and `roots` as PEM text."""

    identity: Identity
    chain: str
    roots: str
    not_after: datetime

    def answer(self) -> dict[str, str]:
        """What `POST /certificates` answers."""
        return {
            "chain": self.chain,
            "roots": self.roots,
            "not_after": self.not_after.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


class Keys:
    """Which Pod brought which public key first. It remembers REMEMBERED of them, and is of this process alone."""

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._limit = limit
        self._owners: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()

    def claim(self, key: PublicKey, identity: Identity) -> None:
        """Note that `key` is `identity`'s. Errors: RefusedRequest where it is another Pod's."""
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(spki)
        with self._lock:
            owner = self._owners.setdefault(fingerprint := digest.finalize(), identity.uid)
            self._owners.move_to_end(fingerprint)
            if len(self._owners) > self._limit:
                self._owners.popitem(last=False)
        if owner != identity.uid:
            raise RefusedRequest(
                CONFLICT,
                "This key is another Pod's: somebody else has a certificate for it. Make a key of your own.",
            )


def certify(
    api: ApiClient,
    authority: Authority,
    token: str,
    csr: str,
    *,
    keys: Keys,
    ttl: timedelta = TTL,
    now: datetime | None = None,
    peer: str = "",
) -> Issued:
    """A certificate for the Pod whose `token` this is, on the key in `csr` (PEM text), valid for `ttl`.

    `peer`: the address that the request came from, which must be the Pod's own once that is known.

    Errors: RefusedRequest; kube.Refused and kube.Unreachable where the API server does not do its part.
    """
    identity = identify(api, token, peer)  # first: who is nobody learns nothing about requests
    key = requested_key(csr, identity)
    keys.claim(key, identity)
    certificate = authority.issue(key, identity, ttl, now=now or datetime.now(UTC))
    return Issued(identity, pem(certificate), authority.roots_pem, certificate.not_valid_after_utc)


def requested_key(csr: str, identity: Identity) -> PublicKey:
    """The public key in `csr`, if the request is one that `identity` may make. Errors: RefusedRequest."""
    if len(csr) > CSR_LIMIT:
        raise RefusedRequest(BAD_REQUEST, f"The request is longer than {CSR_LIMIT} bytes.")
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key, signed = request.public_key(), request.is_signature_valid
        asked = request.extensions
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature, x509.DuplicateExtension) as error:
        raise RefusedRequest(BAD_REQUEST, f"This is no certificate request in PEM form: {error}") from error
    if not signed:
        raise RefusedRequest(BAD_REQUEST, "The request is not signed by the key in it.")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RefusedRequest(BAD_REQUEST, "The key is of another kind than EC on the curve P-256.")
    for extension in asked:
        value = extension.value
        if not isinstance(value, x509.SubjectAlternativeName):
            continue  # what is asked for beyond names is not granted either, but does nobody harm
        others = [name.value for name in value if name.value != identity.uri]
        if others or len(uris_of(request)) != 1:
            raise RefusedRequest(
                FORBIDDEN,
                f"The request is for {', '.join(map(str, others)) or 'other than one URI'}; the token is that of "
                f"{identity.uri}, and certificates are given for that alone.",
            )
    return key
