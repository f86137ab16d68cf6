"""What a change leads to: what is translated, and whose status is looked at; without a cluster and without proxies."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from labsupport import kube
from labsupport.mesh import names
from labsupport.mesh.api import Name, Reference
from labsupport.mesh.control import Control
from labsupport.mesh.model import Model
from labsupport.mesh.translate import parts
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import Resource
from labsupport.mesh.writer import StatusWriter
from tests.mesh import samples

ROUTE = Reference("HTTPRoute", "shop", "one")


class Timer:
    """What a call_later is known by."""

    def __init__(self, at: float, what: Callable[[], None]) -> None:
        self.at, self.what = at, what

    def when(self) -> float:
        return self.at

    def cancel(self) -> None:
        self.at = float("inf")


class Loop:
    """An event loop that does what is due when it is told to, on a clock of its own."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []
        self.timers: list[Timer] = []
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def call_soon(self, what: Callable[[], None]) -> None:
        self.due.append(what)

    def call_later(self, seconds: float, what: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, what))
        return self.timers[-1]

    def run(self, seconds: float = 0.5) -> None:
        """What is due now, and in so many seconds."""
        end = self.now + seconds
        while True:
            while self.due:
                self.due.pop(0)()
            first = min(self.timers, key=Timer.when, default=None)
            if first is None or first.at > end:
                self.now = end
                return
            self.timers.remove(first)
            self.now = first.at
            first.what()


class Running:
    """A control plane, and what it did."""

    def __init__(self, *objects: samples.Object) -> None:
        self.loop = Loop()
        self.said: list[Reference] = []
        self.translated: list[Part] = []
        self.control = Control(self.loop, self.said.extend)  # type: ignore[arg-type]
        self.control.store.translate = self.translate
        self.broken: set[Part] = set()
        self.told(*objects)
        self.control.begin()
        self.loop.run()
        self.forget()

    def translate(self, model: Model, part: Part) -> list[Resource]:
        self.translated.append(part)
        if part in self.broken:
            raise ValueError("a fault of ours")
        return parts.translate(model, part)

    def told(self, *objects: samples.Object, gone: bool = False) -> None:
        self.forget()
        for each in objects:
            self.control.change(each, gone)
        self.loop.run()

    def forget(self) -> None:
        self.said.clear()
        self.translated.clear()


def newer(found: samples.Object, **metadata: Any) -> samples.Object:
    """An object that was written again."""
    made = deepcopy(found)
    made["metadata"] |= {"resourceVersion": "2", **metadata}
    return made


def route(name: str = "one", **fields: Any) -> samples.Object:
    return samples.route(name, samples.to("orders-v2"), **fields)


def test_changes_that_come_together_are_translated_together() -> None:
    running = Running(*samples.shop())
    running.told(route(), route("two"))
    assert running.translated == [Part(parts.ROUTES, Name("shop", "orders"))]
    assert set(running.said) == {ROUTE, Reference("HTTPRoute", "shop", "two")}


def test_heartbeats_cost_nothing() -> None:
    running = Running(*samples.shop())
    beating = samples.pod("orders-1", "10.244.0.11", account="orders")
    beating["status"]["conditions"] = [{"type": "Ready", "lastProbeTime": "2026-01-01T00:00:00Z"}]
    running.told(newer(beating), samples.pod("elsewhere", "10.244.0.99", mesh=False))
    assert running.translated == []
    assert running.said == []


def test_a_status_that_somebody_wrote_is_looked_at_and_nothing_translated() -> None:
    running = Running(*samples.shop(), route())
    running.told(newer(route()))
    assert running.translated == []
    assert running.said == [ROUTE]
    assert running.control.raw[ROUTE]["metadata"]["resourceVersion"] == "2"


def test_a_mesh_config_without_effect_is_told_so() -> None:
    running = Running(*samples.shop())
    found = {"kind": "MeshConfig", "metadata": {"name": "mesh", "namespace": "shop"}, "spec": {}}
    running.told(found)
    assert running.translated == []
    assert running.said == [Reference("MeshConfig", "shop", "mesh")]


def test_what_cannot_be_translated_stays_as_it_was_and_its_routes_are_told() -> None:
    running = Running(*samples.shop(), route())
    part = Part(parts.ROUTES, Name("shop", "orders"))
    running.broken = {part}
    running.told(
        newer(samples.route("one", samples.to("orders"))), samples.service("third", address="10.96.0.7")
    )
    assert running.control.troubles == {ROUTE: "ValueError: a fault of ours"}
    assert running.control.store.failures == {part: "ValueError: a fault of ours"}
    running.broken = set()
    running.told(newer(samples.route("one", samples.to("orders-v2"))))
    assert running.control.troubles == {}
    assert running.said == [ROUTE]


def test_an_object_that_cannot_be_read_is_contained() -> None:
    running = Running(*samples.shop())
    before = running.control.model
    broken = newer(samples.service("orders"))
    del broken["spec"]
    running.told(broken)
    assert running.control.model is before
    assert running.translated == []


class Api:
    """An API server that takes a status, or refuses it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.error, self.written = error, []
        monkeypatch.setattr(kube, "patch", self.patch)
        monkeypatch.setattr("labsupport.mesh.writer.resource", lambda *_: self)

    def path(self, namespace: str, name: str) -> str:
        return f"/{namespace}/{name}"

    def patch(self, api: Any, path: str, body: Any) -> None:
        if self.error:
            raise self.error
        self.written.append((path, body))


def test_a_status_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {**newer(route()), "apiVersion": "gateway.networking.k8s.io/v1"}
    running, api = Running(*samples.shop(), found), Api(monkeypatch)
    writer = StatusWriter(None, lambda: running.control)
    writer.write(ROUTE)
    ((path, body),) = api.written
    assert path == "/shop/one/status"
    assert body["metadata"] == {"resourceVersion": "2"}  # nobody else's entry is lost
    assert [each["controllerName"] for each in body["status"]["parents"]] == [names.CONTROLLER]
    running.told({**newer(found, resourceVersion="3"), "status": body["status"]})
    writer.write(ROUTE)
    assert len(api.written) == 1
    writer.write(Reference("HTTPRoute", "shop", "gone"))
    assert len(api.written) == 1


@pytest.mark.parametrize("status", [404, 409])
def test_an_object_that_changed_or_went_meanwhile_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    found = {**newer(route()), "apiVersion": "gateway.networking.k8s.io/v1"}
    running = Running(*samples.shop(), found)
    Api(monkeypatch, kube.Refused(status, "Conflict", "no"))
    StatusWriter(None, lambda: running.control).write(ROUTE)


def test_rules_go_before_listeners() -> None:
    running = Running(*samples.shop())
    running.control.hub.join(Name("shop", "orders-1"))
    published: list[set[str]] = []
    running.control.hub.publish = lambda keys: published.append({each.name for each in keys})  # type: ignore[method-assign]
    running.told(samples.policy("web", {"from": [{"identities": ["shop/web"]}]}))
    assert [each.kind for each in running.translated] == [parts.AUTHORIZATION, parts.WORKLOAD]
    assert published == [{"authorization/allow"}, {"inbound"}]
    assert Reference("AuthorizationPolicy", "shop", "web") in running.said
    # One that says nothing of bytes touches no listener; of these the first did.
    running.told(samples.policy("web", {"from": [{"identities": ["shop/web"]}]}), gone=True)
    published.clear()
    running.told(samples.policy("path", {"from": [{"identities": ["shop/web"]}]}, action="Deny", selector={
        "matchLabels": {"app": "another"}}))  # fmt: skip
    assert published in ([], [set()])
