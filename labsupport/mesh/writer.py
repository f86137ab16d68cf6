"""Writes what is said of objects into their status, in a thread of its own, as they are when their turn comes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.kube.objects import resource
from labsupport.mesh import progress, status
from labsupport.mesh.api import Reference
from labsupport.mesh.edge import status as edge_status

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.mesh.control import Control

log = logging.getLogger(__name__)


class StatusWriter:
    """Writes statuses, in a thread of its own: `run`. Each object is written as it is when its turn comes."""

    def __init__(self, api: ApiClient, control: Callable[[], Control]) -> None:
        self._api, self._control = api, control
        self._due: set[Reference] = set()
        self._changed = threading.Condition()

    def say(self, references: Iterable[Reference]) -> None:
        """These may have another status now; from any thread."""
        with self._changed:
            self._due |= set(references)
            self._changed.notify()

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` and a last `say`."""
        while not stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._due or stop.is_set())
                due, self._due = self._due, set()
            for reference in due:
                try:
                    self.write(reference)
                except Exception:  # one object that cannot be written must not keep the others waiting
                    log.exception("the status of %s cannot be written", "/".join(reference))

    def write(self, reference: Reference) -> None:
        """Write an object's status if it is not so already."""
        control = self._control()
        found = control.raw.get(reference)
        if found is None:
            return
        refusal, now = control.troubles.get(reference, ""), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done = control.acknowledged.found.get(reference)
        if reference.kind in progress.KINDS and (
            done is None or done.generation != found["metadata"]["generation"]
        ):
            return  # what was made of it is not with its proxies yet; it is said again once it is
        match reference.kind:
            case "HTTPRoute" | "GRPCRoute":
                content = status.route_status(control.model, found, refusal, now, done)
            case "Gateway":
                trouble = control.edge_troubles.get(reference, "")
                content = edge_status.gateway_status(control.model, found, refusal, trouble, now, done)
            case "GatewayClass":
                content = edge_status.class_status(found, now)
            case _:
                content = status.policy_status(control.model, found, refusal, now, done)
        if content is None:
            return
        path = resource(self._api, found["apiVersion"], found["kind"]).path(*reference[1:])
        # With the version: `parents` is one list for all controllers, and nobody's entry may be lost.
        body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "status": content}
        try:
            kube.patch(self._api, f"{path}/status", body)
        except kube.Refused as error:
            if error.status == 409:
                return  # somebody has changed it; the watch tells, and it is looked at again
            if error.status != 404:
                raise
