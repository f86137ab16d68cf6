"""Tells the API server which roots to check the webhook's certificate against: caBundle of its configuration.

The configuration itself is a manifest that `labs mesh install` or kubectl applies. The control plane owns this one
field of it (server-side apply, KEP-555), so that neither takes the other's away.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.mesh import names

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

API_VERSION = "admissionregistration.k8s.io/v1"
KIND = "MutatingWebhookConfiguration"
INTERVAL = 10.0  # seconds between two looks; a configuration that was applied anew is usable that soon


def register(api: ApiClient, roots: str) -> bool:
    """Put `roots` (PEM certificates, all that are trusted) into the configuration; whether anything had to be changed.

    False as well where there is no configuration: there is nothing to tell then. Errors: Refused, Unreachable.
    """
    found = kube.get(api, API_VERSION, KIND, names.INJECTOR)
    bundle = base64.b64encode(roots.encode()).decode()
    webhooks = (found or {}).get("webhooks") or []
    if all(each["clientConfig"].get("caBundle") == bundle for each in webhooks):
        return False
    change = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": names.INJECTOR},
        "webhooks": [{"name": each["name"], "clientConfig": {"caBundle": bundle}} for each in webhooks],
    }
    kube.apply(api, [change], field_manager=names.CONTROL)
    return True


class Registration:
    """Keeps the configuration as it should be, whoever applies it when. `run` belongs in a thread of its own."""

    def __init__(self, api: ApiClient, roots: Callable[[], str], report: Callable[[str], None]) -> None:
        self._api, self._roots, self._report = api, roots, report
        self._changed = threading.Event()

    def changed(self) -> None:
        """The roots are others now; may be called from any thread."""
        self._changed.set()

    def run(self, stop: threading.Event, interval: float = INTERVAL) -> None:
        """Register now, at each change and every `interval` seconds, until `stop`.

        It looks at `stop` as often; call `changed` to have it do so at once.
        """
        while not stop.is_set():
            self._changed.clear()
            try:
                if register(self._api, self._roots()):
                    self._report("the API server was told the roots for the webhook's certificate")
            except LabsError as error:
                self._report(f"the webhook's configuration: {error.what}")
            self._changed.wait(interval)
