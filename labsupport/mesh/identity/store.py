"""Where the authority lies: Secret labs-system/mesh-ca. And how one root follows another without a broken connection.

    data:
      signer: root-1                      which root signs
      root-1.crt, root-1.key              a root and its key
      root-2.crt, root-2.key              another one that is trusted

| Phase | Roots | What must be true before the next step |
|---|---|---|
| settled | one | |
| prepared | the one that signs, and the next, with its key | all proxies trust both |
| switched | the next signs; the old one has no key any more | all proxies have a certificate of the new one |

Each step changes what is trusted or who signs, never both. Hence at each moment, and between any two parties that are
one step apart, whoever checks a certificate has its root.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh.identity.ca import Authority, Key, Root, key_pem, new_root
from labsupport.mesh.names import SYSTEM

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SECRET = "mesh-ca"  # noqa: S105 (an object's name)
SIGNER = "signer"
SETTLED, PREPARED, SWITCHED = "settled", "prepared", "switched"
CONFLICT, NOT_FOUND = 409, 404


class RotationError(LabsError):
    """This step of a rotation is not the one that is due."""


def phase(authority: Authority) -> str:
    """Where in a rotation `authority` is: SETTLED, PREPARED or SWITCHED."""
    if not authority.others:
        return SETTLED
    return PREPARED if any(root.key for root in authority.others) else SWITCHED


def prepare(authority: Authority, now: datetime) -> Authority:
    """Make the next root; it is trusted from now on and signs nothing yet. Errors: RotationError."""
    _expect(authority, SETTLED, "finish the rotation that is under way first")
    number = int(authority.signer.name.rpartition("-")[2]) + 1
    return replace(authority, others=(new_root(f"root-{number}", now),))


def switch(authority: Authority) -> Authority:
    """Sign by the next root. The old one's key is dropped, its certificate still trusted.

    Errors: RotationError.
    """
    _expect(authority, PREPARED, "a next root must be made and be trusted everywhere before it signs")
    coming = next(root for root in authority.others if root.key)
    return Authority(coming, (replace(authority.signer, key=None),))


def finish(authority: Authority) -> Authority:
    """Trust the root that signs alone. Errors: RotationError."""
    _expect(authority, SWITCHED, "the next root must sign before the old one can go")
    return Authority(authority.signer)


def _expect(authority: Authority, due: str, why: str) -> None:
    current = phase(authority)
    if current != due:
        raise RotationError(f"The authority is {current}, not {due}: {why}.")


def secret_of(authority: Authority, namespace: str = SYSTEM) -> dict[str, Any]:
    """The Secret that holds `authority`."""
    data = {SIGNER: authority.signer.name}
    for root in (authority.signer, *authority.others):
        data[f"{root.name}.crt"] = root.pem
        if root.key:
            data[f"{root.name}.key"] = key_pem(root.key)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "namespace": namespace,
            "labels": {"labs.example/part-of": "course"},
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


def authority_from_secret(secret: Mapping[str, Any]) -> Authority:
    """What `secret` holds. Errors: LabsError where it is not what `secret_of` makes."""
    try:
        data = {name: base64.b64decode(text) for name, text in (secret.get("data") or {}).items()}
        names = sorted(name.removesuffix(".crt") for name in data if name.endswith(".crt"))
        roots = {name: _root(name, data) for name in names}
        signer = roots.pop(data[SIGNER].decode())
    except (KeyError, ValueError) as error:
        raise LabsError(f"Secret {SECRET} holds no authority that can be read: {error!r}.") from error
    if signer.key is None:
        raise LabsError(f"Secret {SECRET} has no key of {signer.name}, which is to sign.")
    return Authority(signer, tuple(roots.values()))


def _root(name: str, data: Mapping[str, bytes]) -> Root:
    certificate = x509.load_pem_x509_certificate(data[f"{name}.crt"])
    key = None
    if f"{name}.key" in data:
        loaded = serialization.load_pem_private_key(data[f"{name}.key"], password=None)
        if not isinstance(loaded, Key) or loaded.public_key() != certificate.public_key():
            raise ValueError(f"the key of {name} is not the one in its certificate")
        key = loaded
    return Root(name, certificate, key)


def load_or_create(api: ApiClient, namespace: str = SYSTEM, now: datetime | None = None) -> Authority:
    """The authority of this mesh; the first who asks makes it.

    Two who start at once agree: an object is created once, and who comes second reads what the first one made.
    Errors: LabsError where what is there cannot be read; Refused; Unreachable.
    """
    path = f"/api/v1/namespaces/{namespace}/secrets"
    try:
        return authority_from_secret(kube.request(api, "GET", f"{path}/{SECRET}"))
    except kube.Refused as error:
        if error.status != NOT_FOUND:
            raise
    made = Authority(new_root("root-1", now or datetime.now(UTC)))
    try:
        kube.request(api, "POST", path, body=secret_of(made, namespace))
    except kube.Refused as error:
        if error.status != CONFLICT:
            raise
        return authority_from_secret(kube.request(api, "GET", f"{path}/{SECRET}"))
    return made


def save(api: ApiClient, before: Mapping[str, Any], authority: Authority) -> dict[str, Any]:
    """Put `authority` where `before` (the Secret as it was read) is; returns the Secret as stored.

    Errors: Refused with status 409 where somebody else has changed it since.
    """
    metadata = before["metadata"]
    body = secret_of(authority, metadata["namespace"])
    # The version makes two rotations at once impossible: the server takes one of them.
    body["metadata"] = {
        **metadata,
        "labels": {**(metadata.get("labels") or {}), **body["metadata"]["labels"]},
    }
    path = f"/api/v1/namespaces/{metadata['namespace']}/secrets/{SECRET}"
    stored: dict[str, Any] = kube.request(api, "PUT", path, body=body)
    return stored
