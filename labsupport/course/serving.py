"""What a host needs for the API server to call it: a certificate, and a place in an object that is not its own.

A host's manifest that holds `{certificate}`, `{key}` or `{authority}` gets them filled in (base64, for the `data` of a
Secret and for a `caBundle`). A document with the annotation `labs.example/part` is a part of somebody else's object,
such as the conversion of a custom resource definition: it is applied once the Pods work, with a field manager of its
own (server-side apply, KEP-555), and given back when the host goes.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from labsupport import kube
from labsupport.course.certificates import Authority
from labsupport.course.worlds.world import World
from labsupport.kube.objects import Object

PART = "labs.example/part"
LASTS = timedelta(days=365)  # of a certificate: a lab that is resumed much later should work as before
ENOUGH = timedelta(days=7)  # a certificate that holds so long is kept
_KEYS = {"certificate": "tls.crt", "key": "tls.key", "authority": "ca.crt"}


@dataclass(frozen=True)
class Identity:
    """A server's certificate, its key, and the certificate of the authority that signed it: PEM in base64."""

    certificate: str
    key: str
    authority: str

    def fill(self, text: str) -> str:
        """The text with the three in place of their placeholders."""
        for name in _KEYS:
            text = text.replace("{" + name + "}", getattr(self, name))
        return text


NOBODY = Identity("", "", "")


def needed(manifest: str) -> bool:
    """Whether a host's manifest asks for a certificate."""
    return any("{" + name + "}" in manifest for name in _KEYS)


def identity(world: World, name: str) -> Identity:
    """The certificate of the Service `name` in the lab's namespace: the one there is, or a new one.

    The API server calls a Service by the name `<service>.<namespace>.svc`.
    """
    secret = kube.get(world.api, "v1", "Secret", f"{name}-certificate", world.namespace) or {}
    data = secret.get("data") or {}
    if all(key in data for key in _KEYS.values()) and _holds(data["tls.crt"]):
        return Identity(**{field: data[key] for field, key in _KEYS.items()})
    authority = Authority(f"{name} in {world.namespace}", lasts=LASTS)
    issued = authority.issue(f"{name}.{world.namespace}.svc", until=LASTS)
    return Identity(*(_encoded(text) for text in (issued.certificate, issued.key, authority.certificate)))


def is_part(document: Object) -> bool:
    """Whether a document is a part of an object that is not the host's."""
    return PART in (document["metadata"].get("annotations") or {})


def take(world: World, name: str, parts: list[Object]) -> None:
    """Apply the parts, once the host works."""
    kube.apply(
        world.api, [_bare(each) for each in parts], field_manager=_manager(name), namespace=world.namespace
    )


def give_back(world: World, name: str, parts: list[Object]) -> None:
    """Give up what `take` applied: the fields get back their defaults. Objects that are gone are no error."""
    for each in parts:
        metadata = each["metadata"]
        if (
            kube.get(world.api, each["apiVersion"], each["kind"], metadata["name"], world.namespace)
            is not None
        ):
            nothing = {key: each[key] for key in ("apiVersion", "kind")} | {
                "metadata": {"name": metadata["name"]}
            }
            kube.apply(world.api, [nothing], field_manager=_manager(name), namespace=world.namespace)


def _bare(part: Object) -> Object:
    return {**part, "metadata": {"name": part["metadata"]["name"]}}


def _manager(name: str) -> str:
    return f"labs-{name}"


def _holds(certificate: str) -> bool:
    try:
        found = x509.load_pem_x509_certificate(base64.b64decode(certificate))
    except ValueError:
        return False
    return found.not_valid_after_utc > datetime.now(UTC) + ENOUGH


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
