"""What watches tell goes into the model, what changed goes to the proxies, what became of it into status.

One event loop has the model and the proxies' streams. Watches, the HTTPS server and writes to the API server are in
threads of their own; the model is immutable, so that they may read it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from labsupport.mesh import changes, gateways, held, progress, status
from labsupport.mesh.api import Name, Object, Reference
from labsupport.mesh.certificates import Certificate
from labsupport.mesh.edge import keeper
from labsupport.mesh.model import Model
from labsupport.mesh.serve.hub import Hub
from labsupport.mesh.serve.store import Store
from labsupport.mesh.telemetry.collect import Collector
from labsupport.mesh.translate import parts
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import Key

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
        self.acknowledged = progress.Acknowledgements()
        self._looking: asyncio.TimerHandle | None = None
        self._pause = progress.SETTLE
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
            else:
                self.acknowledged.forget(reference)
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

    def told_certificate(self, name: Name, found: Certificate) -> None:
        """What a Secret has that a Gateway names; from any thread."""
        self._loop.call_soon_threadsafe(self._certificate, name, found)

    def _certificate(self, name: Name, found: Certificate) -> None:
        before, reference = self.model, Reference("Certificate", *name)
        self.model = before.with_certificate(name, found)
        if self.model is not before:
            self._statuses |= status.touched(before, self.model, reference)
            self._parts |= parts.affected(before, self.model, reference, self.hub.connected)
            self._soon()

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
        if not self._parts:
            self._tell_statuses()

    def _tell_statuses(self) -> None:
        before, self.troubles = self.troubles, self.refusals()
        other = {key for key in {*before, *self.troubles} if before.get(key) != self.troubles.get(key)}
        said, self._statuses = self._statuses | other, set()
        waiting = {each for each in said if each.kind in progress.KINDS and each in self.raw}
        self.acknowledged.wait(waiting, self._loop.time())
        self._look_in(self._pause)
        if said := {each for each in said if each.kind in WITH_STATUS} - waiting:
            self._say(said)

    def _look_in(self, seconds: float) -> None:
        """See who has acknowledged what, so soon at the latest."""
        due, at = self.acknowledged.next(), self._loop.time() + seconds
        if due is None or (self._looking and self._looking.when() <= at):
            return
        if self._looking:
            self._looking.cancel()
        self._looking = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._looking = None
        if self._parts or self._flushing:  # it is not made yet
            self._look_in(self._pause)
            return
        began = time.thread_time()
        if told := self.acknowledged.look(self._progress, self._loop.time()):
            self._say(told)
        # With many proxies and objects it takes time that streams wait for: 5 % of it at most.
        self._pause = max(progress.SETTLE, 20 * (time.thread_time() - began))
        if due := self.acknowledged.next():
            self._look_in(max(self._pause, due - self._loop.time()))

    def _progress(self, reference: Reference) -> progress.Progress | None:
        if reference in self.held.instead and reference not in self.held.why:
            return None  # what proxies have is not made of it; it is tried again
        # What a proxy refused, all keep as it was: nobody is waited for, and the status says why.
        wanted = {} if reference in self.troubles else self.store.made_of(reference)
        generation = self.raw[reference]["metadata"]["generation"]
        return progress.Progress(generation, *self.hub.acknowledged(wanted))

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
        self._look_in(self._pause)

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
        """See who has it; let in what is only suspected, one after the other."""
        self._look_in(self._pause)
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
