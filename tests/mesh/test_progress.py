"""Who has acknowledged what: what is said of it, when, and how often; with simulated proxies, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.mesh import progress
from labsupport.mesh.api import Name, Object, Reference
from labsupport.mesh.progress import Progress
from labsupport.mesh.serve.hub import Proxy as Connected
from labsupport.mesh.translate import envoy
from labsupport.mesh.writer import StatusWriter
from tests.mesh import samples
from tests.mesh.serve.simulated import Proxy
from tests.mesh.test_control import Api, Running

ROUTE = Reference("HTTPRoute", "shop", "one")


def route(generation: int = 1, *backends: str) -> Object:
    found = samples.route("one", samples.to(*(backends or ("orders-v2",))))
    found["metadata"] |= {"generation": generation, "resourceVersion": str(generation)}
    return {"apiVersion": "gateway.networking.k8s.io/v1", **found}


class Mesh(Running):
    """A control plane with proxies that answer when they are told to, and the statuses that it wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pods: str) -> None:
        super().__init__(*samples.shop())
        self.api = Api(monkeypatch)
        self.writer = StatusWriter(None, lambda: self.control)  # type: ignore[arg-type]
        self.proxies = [self.join(each) for each in pods]

    def join(self, pod: str, **how: Any) -> tuple[Proxy, Connected]:
        connected = self.control.hub.join(Name("shop", pod))
        self.loop.run(0)
        made = Proxy(connected.session, **how), connected
        self.answer(made)
        return made

    def answer(self, *proxies: tuple[Proxy, Connected]) -> None:
        """These take what they were sent, and say so."""
        for proxy, connected in proxies or self.proxies:
            connected.wake.set()
            while proxy.requests or proxy.responses or connected.wake.is_set():
                while proxy.requests:
                    self.control.hub.receive(connected, proxy.requests.popleft())
                connected.wake.clear()
                proxy.push()
                while proxy.responses:
                    proxy.take()

    def wait(self, seconds: float = 0.1) -> list[tuple[str, str]]:
        """After so long: what was written of Programmed since; the API server tells the control plane of it, too."""
        self.loop.run(seconds)
        said = list(dict.fromkeys(self.said))
        self.forget()
        for each in said:
            self.writer.write(each)
        found = []
        for _, body in self.api.written:
            status = body["status"]
            conditions = status["parents"][0]["conditions"] if "parents" in status else status["conditions"]
            (one,) = [each for each in conditions if each["type"] == "Programmed"]
            found.append((one["status"], one["message"]))
            raw = self.control.raw[ROUTE]
            self.control.change({**raw, "status": status}, False)
        self.api.written.clear()
        self.loop.run(0)
        return found


def test_a_route_is_programmed_once_all_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1", "web-2", "orders-1")
    mesh.told(route())
    assert mesh.wait(0.3) == []  # nobody has answered, and it is not long yet
    mesh.answer(*mesh.proxies[:2])
    assert mesh.wait(1) == [("False", "acknowledged by 2 of 3 proxies")]
    mesh.proxies[2][0].push()  # it is on its way, and not acknowledged
    assert mesh.wait(5) == []
    mesh.answer(mesh.proxies[2])
    assert mesh.wait() == [("True", "acknowledged by 3 of 3 proxies")]
    assert mesh.wait(60) == []


def test_a_change_that_all_take_at_once_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1", "web-2")
    for generation in range(1, 5):
        mesh.told(route(generation, *("orders-v2", "orders")[: 1 + generation % 2]))
        mesh.answer()
        said = mesh.wait()
        # The message is as before, so that only the generation is another one.
        assert said == [("True", "acknowledged by 2 of 2 proxies")], generation
        assert mesh.wait(30) == []


def test_who_comes_later_takes_nothing_back_and_nobody_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1")
    mesh.told(route())
    mesh.answer()
    assert mesh.wait() == [("True", "acknowledged by 1 of 1 proxies")]
    _, connected = mesh.join("web-2")
    before = connected.session.types[envoy.ROUTES]
    before.has.clear()  # as one that has asked, and has nothing yet
    ports = ({"name": "http", "port": 80, "targetPort": 8080}, {"name": "more", "port": 81})
    mesh.told(samples.service("orders-v2", *ports, address="10.96.0.3"))
    assert mesh.control.hub.acknowledged(mesh.control.store.made_of(ROUTE)) == (1, 2)
    assert mesh.wait(30) == []


def test_who_goes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1", "web-2")
    mesh.told(route())
    mesh.answer(mesh.proxies[0])
    mesh.control.hub.leave(mesh.proxies[1][1])
    assert mesh.wait() == [("True", "acknowledged by 1 of 1 proxies")]


def test_a_refusal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1")
    stubborn = mesh.join("web-2", refuses=lambda url, name, version: url == envoy.ROUTES and "orders" in name)
    mesh.told(route())
    mesh.answer(stubborn)
    ((status, message),) = mesh.wait()
    assert status == "False"
    assert message.startswith("refused")


def test_nothing_is_said_of_what_is_not_translated_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1")
    mesh.told(route())
    mesh.answer()
    assert len(mesh.wait()) == 1
    mesh.control.raw[ROUTE] = route(2)  # the watch has told, the event loop has not come to it
    mesh.writer.write(ROUTE)
    assert mesh.api.written == []


def test_a_policy_for_nobody_is_programmed(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = Mesh(monkeypatch, "web-1")
    found = samples.policy("web", selector={"matchLabels": {"app": "nobody"}})
    found = {"apiVersion": "mesh.labs.example/v1alpha1", **found}
    found["metadata"] |= {"generation": 1, "resourceVersion": "1"}
    mesh.told(found)
    mesh.writer.write(Reference("AuthorizationPolicy", "shop", "web"))
    ((_, body),) = mesh.api.written
    said = {each["type"]: (each["status"], each["message"]) for each in body["status"]["conditions"]}
    assert said["Programmed"] == ("True", "no proxy that was there needs it")


def test_the_number_is_said_again_now_and_then() -> None:
    waiting, one = progress.Acknowledgements(), ROUTE
    waiting.wait([one], 0)

    def at(now: float, count: int) -> bool:
        return waiting.look(lambda _: Progress(1, count, 9), now) == {one}

    assert [at(0.5, 1), at(1, 2), at(1.5, 3), at(10.5, 4), at(11, 5), at(11.5, 9), at(12, 9)] == [
        False, True, False, False, True, True, False,
    ]  # fmt: skip
    assert waiting.next() is None
