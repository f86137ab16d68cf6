"""Makes what a Gateway needs, keeps it, and removes it: a small controller in a thread of the control plane.

It compares nothing itself: server-side apply (KEP-555) changes only what is another one. What goes with its Gateway is
removed by the cluster's garbage collector; the keeper removes what a Gateway that stays no longer asks for.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.follow import Followed, Follower
from labsupport.mesh import certificates, gateways, names
from labsupport.mesh.api import Object, Reference
from labsupport.mesh.edge import workload
from labsupport.mesh.gateways import Gateway

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.mesh.control import Control

FORBIDDEN = 403
SOON = 5.0  # where a Secret cannot be used yet
log = logging.getLogger(__name__)
INTERVAL = (
    60.0  # seconds between two looks at all, whatever watches told: what could not be made may be by now
)


class Keeper:
    """One to a process; `run` belongs in a thread of its own. `ensure_trust` puts the roots into a namespace."""

    def __init__(
        self,
        api: ApiClient,
        control: Callable[[], Control],
        revision: str,
        ensure_trust: Callable[[str], None],
    ) -> None:
        self._api, self._control, self._revision, self._trust = api, control, revision, ensure_trust
        self._changed = threading.Event()

    def changed(self) -> None:
        """Some Gateway, or what was made for one, may be another one now; from any thread."""
        self._changed.set()

    def followers(self) -> list[Follower]:
        """What tells of changes to what was made: whoever edits or deletes it finds it as it was at once."""
        return [
            Follower(self._api, Followed(*kind, labels=names.GATEWAY_LABEL), lambda *_: self.changed())
            for kind in workload.KINDS
        ]

    def run(self, stop: threading.Event, interval: float = INTERVAL) -> None:
        """Keep all Gateways' objects until `stop` and a last `changed`."""
        while not stop.is_set():
            self._changed.clear()
            control = self._control()
            if not control.begun:  # what is not known yet would be taken for gone
                self._changed.wait(interval)
                continue
            found, lacking = {}, False
            for reference, each in control.raw.items():
                if reference.kind == "Gateway" and (trouble := self._kept(each)):
                    found[reference] = trouble
                lacking |= reference.kind == "Gateway" and self._certificates(control, gateways.gateway(each))
            control.tell_edge(found)
            self._changed.wait(min(interval, SOON) if lacking else interval)

    def _certificates(self, control: Control, gateway: Gateway) -> bool:
        """Tell what the Secrets of a Gateway have; whether one cannot be used. They are not watched: RBAC gives "get"
        of one by name, and no more is asked for.
        """
        lacking = False
        for name in gateways.secrets(gateway) if gateways.is_ours(control.model, gateway) else ():
            try:
                stored = kube.get(self._api, "v1", "Secret", name.name, name.namespace)
            except LabsError as error:
                lacking = True
                if not isinstance(error, kube.Refused) or error.status != FORBIDDEN:
                    log.warning("Secret %s: %s", name, error.what)
                    continue  # a server in trouble takes nothing away
                found = certificates.closed(name)
            else:
                found = certificates.read(name, stored)
            control.told_certificate(name, found)
            lacking |= bool(found.fault)
        return lacking

    def _kept(self, found: Object) -> str:
        """Keep one Gateway's; returns what is wrong, "" where nothing is."""
        try:
            self.keep(found)
        except LabsError as error:
            log.warning("Gateway %s: %s", "/".join(self._name(found)), error.what)
            return error.what
        except Exception as error:  # one of them must not keep the others waiting
            log.exception("Gateway %s", "/".join(self._name(found)))
            return f"{type(error).__name__}: {error}"
        return ""

    def keep(self, found: Object) -> None:
        """Make what a Gateway needs, or remove what it needs no more. Errors: LabsError."""
        gateway = gateways.gateway(found)
        if "deletionTimestamp" in found["metadata"]:
            return
        ours = self._is_ours(gateway)
        if ours is None:
            return
        wanted = ours and gateways.served(gateway)
        documents = workload.documents(found, self._revision)
        held = []
        for each in documents:
            present = kube.get(self._api, each["apiVersion"], each["kind"], *self._place(each))
            if present is not None:
                if not _is_of(present, found):
                    if wanted:
                        raise LabsError(
                            f"{each['kind']} {'/'.join(self._name(each))} is there, and not the Gateway's."
                        )
                    continue
                held.append(each)
        if wanted:
            self._trust(gateway.name.namespace)  # its Pods mount the roots
            kube.apply(self._api, documents, field_manager=names.CONTROL)
        elif held:
            log.info("Gateway %s is not served here any more: what was made for it goes", gateway.name)
            kube.delete(self._api, held)

    def _is_ours(self, gateway: Gateway) -> bool | None:
        """Whether its class is this mesh's; None where there is no such class (any more), and nothing is touched.

        Asked anew: to take a class for another's because a watch is behind would end what is in use.
        """
        if gateways.is_ours(self._control().model, gateway):
            return True
        found = kube.get(self._api, f"{gateways.GROUP}/v1", "GatewayClass", gateway.class_)
        return found["spec"]["controllerName"] == names.CONTROLLER if found else None

    @staticmethod
    def _name(found: Object) -> tuple[str, str]:
        return found["metadata"]["namespace"], found["metadata"]["name"]

    def _place(self, found: Object) -> tuple[str, str]:
        namespace, name = self._name(found)
        return name, namespace


def _is_of(present: Object, gateway: Object) -> bool:
    """Whether an object was made for this very Gateway; one of the same name must not be taken over."""
    owners = present["metadata"].get("ownerReferences") or ()
    return any(each["uid"] == gateway["metadata"]["uid"] for each in owners)


def concerns(reference: Reference) -> bool:
    """Whether a change of an object may change what is to be made."""
    return reference.kind in ("Gateway", "GatewayClass")
