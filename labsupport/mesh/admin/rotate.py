"""A new root for the mesh without a broken connection: the steps of identity/store.py, each once all proxies are ready.

Proxies are asked themselves (/certs of Envoy's admin interface): which roots they check by, in which order. May be
interrupted and run again: the Secret says where it is.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh import names
from labsupport.mesh.admin import look
from labsupport.mesh.identity import store
from labsupport.mesh.identity.ca import Authority
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

TIMEOUT = patient(240.0)  # seconds for a step to reach all; kubelet brings a changed ConfigMap within 90
PAUSE = 1.0  # seconds between two looks at the proxies, which cannot be watched
PATH = f"/api/v1/namespaces/{names.SYSTEM}/secrets/{store.SECRET}"

Say = Callable[[str], None]
Certs = dict[str, Any]


@dataclass(frozen=True)
class Rotated:
    """The root that signs now, by its SHA-256, and how many proxies have a certificate of it."""

    root: str
    fingerprint: str
    proxies: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"root": self.root, "fingerprint": self.fingerprint, "proxies": self.proxies}


def rotate(api: ApiClient, say: Say = lambda text: None, timeout: float = TIMEOUT) -> Rotated:
    """Go through all steps that are left, from wherever the last rotation was interrupted.

    `timeout` (seconds) is for each step. Errors: LabsError names the proxies that are not ready for the next step; the
    mesh works on as it is, and the same call goes on from there.
    """
    authority, secret = _read(api)
    if store.phase(authority) == store.SETTLED:
        say("a new root is made and trusted, and signs nothing yet")
        authority, secret = _save(api, secret, store.prepare(authority, datetime.now(UTC)))
    if store.phase(authority) == store.PREPARED:
        coming = _serials(authority)
        _await(api, lambda certs: trusts(certs, coming), "trust the new root", say, timeout)
        say("the new root signs")
        authority, secret = _save(api, secret, store.switch(authority))
    serial = f"{authority.signer.certificate.serial_number:x}"
    count = _await(api, lambda certs: signed_by(certs, serial), "have a certificate of it", say, timeout)
    say("the old root is trusted no more")
    authority, _ = _save(api, secret, store.finish(authority))
    return Rotated(authority.signer.name, authority.signer.fingerprint, count)


def _read(api: ApiClient) -> tuple[Authority, dict[str, Any]]:
    try:
        secret: dict[str, Any] = kube.request(api, "GET", PATH)
    except kube.Refused as error:
        if error.status != 404:
            raise
        raise LabsError("There is no mesh on this cluster.", fix="labs mesh install") from error
    return store.authority_from_secret(secret), secret


def _save(api: ApiClient, secret: dict[str, Any], authority: Authority) -> tuple[Authority, dict[str, Any]]:
    return authority, store.save(api, secret, authority)


def _serials(authority: Authority) -> set[str]:
    return {f"{root.certificate.serial_number:x}" for root in (authority.signer, *authority.others)}


def trusts(certs: Certs, serials: Iterable[str]) -> bool:
    """Whether everything that a proxy checks others by has these roots (serial numbers in hexadecimal)."""
    groups = [each["ca_cert"] for each in certs.get("certificates") or () if each.get("ca_cert")]
    wanted = {_plain(serial) for serial in serials}
    return bool(groups) and all(
        wanted <= {_plain(root["serial_number"]) for root in group} for group in groups
    )


def signed_by(certs: Certs, serial: str) -> bool:
    """Whether a proxy's own certificate is of the root that signs now.

    Envoy does not tell the issuer. But the roots by which a proxy checks the control plane come in the answer that its
    certificate came in, the one that signs first: where it is first everywhere, the certificate is of it.
    """
    found = certs.get("certificates") or ()
    groups = [each["ca_cert"] for each in found if each.get("ca_cert")]
    first = all(_plain(group[0]["serial_number"]) == _plain(serial) for group in groups)
    return bool(groups) and first and any(each.get("cert_chain") for each in found)


def _plain(serial: str) -> str:
    return serial.lower().lstrip("0")


def _await(api: ApiClient, ready: Callable[[Certs], bool], what: str, say: Say, timeout: float) -> int:
    """Wait until all proxies are ready; returns how many there are."""
    ends = time.monotonic() + timeout
    while True:
        found = look.proxies(api)
        late = [each for each in found if not _asked(api, each, ready)]
        if not late:
            return len(found)
        named = ", ".join(f"{each.namespace}/{each.pod}" for each in late[:5])
        if time.monotonic() > ends:
            raise LabsError(
                f"{len(late)} of {len(found)} proxies do not {what} after {timeout:.0f} s: {named}",
                fix="labs mesh describe POD; then labs mesh rotate again, it goes on from here",
            )
        say(f"{len(found) - len(late)} of {len(found)} proxies {what}")
        time.sleep(PAUSE)


def _asked(api: ApiClient, proxy: look.ProxyState, ready: Callable[[Certs], bool]) -> bool:
    try:
        return ready(json.loads(look.admin(api, proxy.namespace, proxy.pod, "/certs")))
    except LabsError:
        return kube.get(api, "v1", "Pod", proxy.pod, proxy.namespace) is None  # it has gone meanwhile
