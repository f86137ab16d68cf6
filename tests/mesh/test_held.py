"""A route that a proxy refuses keeps no other route away, and is the only one that is told so."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.mesh import names
from labsupport.mesh.api import Name, Reference
from labsupport.mesh.serve.hub import Proxy as Connected
from labsupport.mesh.translate import envoy
from tests.mesh import samples
from tests.mesh.samples import Object
from tests.mesh.serve.simulated import Proxy
from tests.mesh.test_control import Running

BAD = "/bad"  # in a route's path: the proxy refuses what has it
ORDERS = "shop/orders/80"


class Mesh(Running):
    """A control plane, and one proxy that is pleased with everything but BAD."""

    def __init__(self, *objects: Object) -> None:
        super().__init__(*objects)
        self.connected: Connected = self.control.hub.join(Name("shop", "orders-1"), "redirect")
        self.proxy = Proxy(self.connected.session, self.refuses)
        self.settle()

    def refuses(self, type_url: str, name: str, version: str) -> bool:
        held = self.control.store.find(type_url, self.connected.session.scopes, name)
        return (
            type_url == envoy.ROUTES
            and held is not None
            and BAD.encode() in self.sent(type_url, name, version)
        )

    def sent(self, type_url: str, name: str, version: str) -> bytes:
        found = self.control.store.find(type_url, self.connected.session.scopes, name)
        assert found
        bodies = [each for each in (found[1].wanted, found[1].good) if each and each.version == version]
        return bytes(bodies[0].body.value) if bodies else b""  # none: what stands in for what was refused

    def settle(self) -> None:
        for _ in range(1000):
            self.loop.run()
            self.proxy.responses.extend(self.connected.session.responses())
            if self.proxy.responses:
                self.proxy.take()
            elif self.proxy.requests:
                self.control.hub.receive(self.connected, self.proxy.requests.popleft())
            else:
                return
        raise AssertionError("it never comes to rest")

    def tell(self, *objects: Object, gone: bool = False) -> None:
        self.told(*objects, gone=gone)
        self.settle()

    def paths(self) -> set[str]:
        """The paths of the routes that the proxy runs for the Service orders."""
        from envoy.config.route.v3 import route_pb2

        message = route_pb2.RouteConfiguration.FromString(self.proxy.has[envoy.ROUTES][ORDERS][1])
        return {
            route.match.path for host in message.virtual_hosts for route in host.routes if route.match.path
        }


def route(name: str, path: str) -> Object:
    match = {"path": {"type": "Exact", "value": path}}
    return samples.route(name, samples.to("orders-v2", matches=[match]))


def reference(name: str) -> Reference:
    return Reference("HTTPRoute", "shop", name)


def test_one_bad_route_keeps_no_other_away() -> None:
    mesh = Mesh(*samples.shop(), route("good", "/a"))
    mesh.tell(route("ill", "/bad/1"))
    assert mesh.paths() == {"/a"}
    assert set(mesh.control.troubles) == {reference("ill")}
    mesh.tell(route("good", "/b"), route("new", "/c"))
    assert mesh.paths() == {"/b", "/c"}
    assert set(mesh.control.troubles) == {reference("ill")}
    mesh.tell(route("ill", "/mended"))
    assert mesh.paths() == {"/b", "/c", "/mended"}
    assert mesh.control.troubles == {}


def test_what_was_good_before_stays() -> None:
    mesh = Mesh(*samples.shop(), route("one", "/good"), route("other", "/a"))
    mesh.tell(route("one", "/bad"))
    assert mesh.paths() == {"/good", "/a"}
    mesh.tell(route("other", "/b"))
    assert mesh.paths() == {"/good", "/b"}
    mesh.tell(route("one", "/bad"), gone=True)
    assert mesh.paths() == {"/b"}
    assert mesh.control.troubles == {}


def test_of_several_the_bad_ones_are_found() -> None:
    mesh = Mesh(*samples.shop())
    mesh.tell(
        route("a", "/a"), route("b", "/bad/1"), route("c", "/c"), route("d", "/bad/2"), route("e", "/e")
    )
    assert mesh.paths() == {"/a", "/c", "/e"}
    assert set(mesh.control.troubles) == {reference("b"), reference("d")}
    assert mesh.control.held.waiting == []


def test_a_bad_route_from_the_start_is_found() -> None:
    mesh = Mesh(*samples.shop(), route("a", "/a"), route("b", "/bad"))
    assert mesh.paths() == {"/a"}
    assert set(mesh.control.troubles) == {reference("b")}


def test_a_pod_that_is_not_captured_has_the_routes_of_all_and_one_is_told() -> None:
    own = samples.pod("orders-3", "10.244.0.13")
    own["metadata"]["labels"][names.PROXY] = "env"
    mesh = Mesh(*samples.shop(), own, route("good", "/a"))
    explicit = mesh.control.hub.join(Name("shop", "orders-3"), "env")
    proxy = Proxy(explicit.session, lambda url, name, version: url == envoy.ROUTES and any(
        BAD.encode() in each.value for each in last))  # fmt: skip
    last: list[Any] = []

    def settle() -> None:
        for _ in range(1000):
            mesh.loop.run()
            proxy.responses.extend(explicit.session.responses())
            if proxy.responses:
                last[:] = [each.resource for each in proxy.responses[0].resources]
                proxy.take()
            elif proxy.requests:
                mesh.control.hub.receive(explicit, proxy.requests.popleft())
            else:
                return

    settle()
    mesh.told(route("ill", "/bad"), route("good", "/b"))
    settle()
    assert set(mesh.control.troubles) == {reference("ill")}
    assert b"/b" in proxy.has[envoy.ROUTES]["explicit"][1]


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["/1", "/2", "/bad/1", "/bad/2", ""])), min_size=1, max_size=3),
    max_size=6))  # fmt: skip
def test_whatever_changes_the_good_ones_are_served_and_no_others_told(
    told: list[list[tuple[str, str]]],
) -> None:
    mesh, now = Mesh(*samples.shop()), dict[str, str]()
    for together in told:
        for name, path in together:
            now.pop(name, None)
            if path:
                now[name] = f"{path}{name}"
            mesh.told(route(name, f"{path}{name}"), gone=not path)
        mesh.settle()
        good = {path for path in now.values() if not path.startswith(BAD)}
        assert good <= mesh.paths()
        assert not any(path.startswith(BAD) for path in mesh.paths())
        assert set(mesh.control.troubles) == {reference(n) for n, path in now.items() if path.startswith(BAD)}
        assert mesh.control.held.waiting == []
