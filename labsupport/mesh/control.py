"""What watches tell goes into the model, what changed goes to the proxies, what became of it into status.

One event loop has the model and the proxies' streams. Watches, the HTTPS server and writes to the API server are in
threads of their own; the model is immutable, so that they may read it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labsupport.mesh import changes, gateways, held, status
from labsupport.mesh.api import Name, Object, Reference
from labsupport.mesh.edge import keeper
from labsupport.mesh.edge import status as edge_status
from labsupport.mesh.model import Model
from labsupport.mesh.serve.hub import Hub
from labsupport.mesh.serve.store import Store
from labsupport.mesh.telemetry.collect import Collector
from labsupport.mesh.translate import parts
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import Key

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

log = logging.getLogger(__name__)
WITH_STATUS = (
    "HTTPRoute",
    "GRPCRoute",
    "Gateway",
    "GatewayClass",
    "PeerAuthentication",
    "AuthorizationPolicy",
    "TrafficPolicy",
    "EgressPolicy",
    "MeshConfig",
)


class Control:
    """The mesh's state and its proxies. But for `told`, which any thread may call, it belongs to `loop`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        say: Callable[[set[Reference]], None],
        edge: Callable[[], None] = lambda: None,
    ) -> None:
        self.model = Model()
        self.store = Store()
        self.hub = Hub(self.store, self._met, self._refused, self._answered)
        self.held = held.Held()  # what proxies refused; what is translated is `self.held.applied(self.model)`
        self.telemetry = Collector(lambda: self.model)
        self.raw: dict[Reference, Object] = {}  # objects whose status we write, as they are stored
        self._loop, self._say, self._edge = loop, say, edge
        self.begun = False
        self._parts: set[Part] = set()
        self._statuses: set[Reference] = set()
        self._flushing = False
        self.edge_troubles: dict[Reference, str] = {}  # Gateways whose objects are not as they should be
        # As `refusals` was last; replaced as a whole, for other threads.
        self.troubles: dict[Reference, str] = {}

    def told(self, found: Object, gone: bool) -> None:
        """A watch tells of an object; from any thread."""
        self._loop.call_soon_threadsafe(self.change, found, gone)

    def change(self, found: Object, gone: bool) -> None:
        """An object is so now, or is gone."""
        reference = changes.reference(found)
        if reference.kind in WITH_STATUS:
            self.raw = {key: each for key, each in self.raw.items() if key != reference}
            if not gone:
                self.raw[reference] = found
        before = self.model
        try:
            self.model = changes.applied(before, found, gone=gone)
        except (KeyError, ValueError, TypeError):
            # The server has checked it, so this is a fault of ours; the object stays as it was known before.
            log.exception("%s cannot be read", "/".join(reference))
            return
        if self.model is not before:
            if self.begun and keeper.concerns(reference):
                self._edge()
            self._statuses |= status.touched(before, self.model, reference)
            if self.begun:
                was = self.held.applied(before)
                self.held.release(reference)
                now = self.held.applied(self.model)
                self._parts |= parts.affected(was, now, reference, self.hub.connected)
        elif reference.kind in WITH_STATUS:
            self._statuses.add(reference)  # somebody wrote its status, or it has no effect and is told so
        else:
            return
        self._soon()

    def tell_edge(self, troubles: dict[Reference, str]) -> None:
        """What is wrong with which Gateways' objects; from any thread."""
        before, self.edge_troubles = self.edge_troubles, troubles
        if other := {key for key in {*before, *troubles} if before.get(key) != troubles.get(key)}:
            self._say(other)

    def trust(self, roots: str) -> None:
        """The roots (PEM) are these now."""
        self.model = self.model.with_roots(roots)
        self._parts.add(Part(parts.TRUST))
        self._soon()

    def begin(self) -> None:
        """Everything that there was has been told: translate it. From here on proxies may come."""
        self.begun = True
        self._parts = parts.everything(self.model, self.hub.connected)
        self._statuses |= set(self.raw)
        self._flush()
        self._edge()

    def _soon(self) -> None:
        """Changes that come together are worked off together."""
        if self.begun and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        touched, self._parts = self._parts, set()
        # Rules before listeners, which cost ten times as much: on open connections they hold from the next request on.
        rules = {part for part in touched if part.kind == parts.AUTHORIZATION}
        if rules and rules != touched:
            touched, self._parts = rules, touched - rules
            self._soon()
        self.hub.publish(self.store.update(self.held.applied(self.model), touched))
        self._tell_statuses()

    def _tell_statuses(self) -> None:
        before, self.troubles = self.troubles, self.refusals()
        other = {key for key in {*before, *self.troubles} if before.get(key) != self.troubles.get(key)}
        said, self._statuses = self._statuses | other, set()
        if said := {each for each in said if each.kind in WITH_STATUS}:
            self._say(said)

    def refusals(self) -> dict[Reference, str]:
        """The objects of whose configuration something is not served, and why."""
        found = {source: entry.refusal for entry in self.store.refused_entries() for source in entry.sources}
        for part, why in self.store.failures.items():
            if part.kind == parts.ROUTES:
                found |= dict.fromkeys(self.model.routes_of[part.of], why)
            elif part.kind == parts.AUTHORIZATION and (pod := self.model.workloads.get(part.of)):
                found |= {policy.reference: why for policy in self.model.policies_for(pod)}
            workload = self.model.workloads.get(part.of) if part.kind == parts.WORKLOAD else None
            if workload and (gateway := gateways.of_workload(workload)):
                found[Reference("Gateway", *gateway)] = why
        return found | self.held.why

    def _met(self, name: Name) -> None:
        """The first proxy of a Pod has come, or its last one has gone."""
        own = [Part(kind, name) for kind in parts.OF_A_POD]
        if name in self.hub.connected:
            self.hub.publish(self.store.update(self.held.applied(self.model), own))
        else:
            for part in own:
                self.store.drop(part)

    def _refused(self, keys: set[Key]) -> None:
        log.warning("refused: %s", ", ".join(sorted(key.name for key in keys)))
        for key in keys:
            if entry := self.store.entry(key):
                before = self.held.applied(self.model)
                self._retry(
                    before, self.held.hold(key, held.suspects(entry.made_of, entry.good_of), entry.refusal)
                )
        self._flush()

    def _answered(self) -> None:
        """Let in what is only suspected, one after the other."""
        while self.held.waiting and self.store.is_good(self.held.waiting[0][1]):
            if self._parts:  # first what is due already
                self._soon()
                self._loop.call_soon(self._answered)
                return
            before, (reference, _) = self.held.applied(self.model), self.held.waiting[0]
            self.held.release(reference)
            self._retry(before, [reference])
            self._flush()

    def _retry(self, before: Model, others: Iterable[Reference]) -> None:
        """These are translated otherwise than before."""
        now = self.held.applied(self.model)
        for reference in others:
            self._parts |= parts.affected(before, now, reference, self.hub.connected)


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
        from labsupport import kube
        from labsupport.kube.objects import resource

        control = self._control()
        found = control.raw.get(reference)
        if found is None:
            return
        refusal, now = control.troubles.get(reference, ""), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        match reference.kind:
            case "HTTPRoute" | "GRPCRoute":
                content = status.route_status(control.model, found, refusal, now)
            case "Gateway":
                trouble = control.edge_troubles.get(reference, "")
                content = edge_status.gateway_status(control.model, found, refusal, trouble, now)
            case "GatewayClass":
                content = edge_status.class_status(found, now)
            case _:
                content = status.policy_status(control.model, found, refusal, now)
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
