"""Proxies that take and refuse at random, and in the end have exactly what the store serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from labsupport.mesh import changes
from labsupport.mesh.api import Name
from labsupport.mesh.serve import messages
from labsupport.mesh.serve import store as store_module
from labsupport.mesh.serve.hub import Hub
from labsupport.mesh.serve.hub import Proxy as Connected
from labsupport.mesh.serve.messages import Encoded
from labsupport.mesh.serve.session import Session, unavailable
from labsupport.mesh.serve.store import Store
from labsupport.mesh.translate import envoy, parts
from tests.mesh import samples
from tests.mesh.changing import Event, events, world
from tests.mesh.serve.simulated import ALL, Proxy, clusters

POD = Name("shop", "a-1")


@cache
def encoded(type_url: str, body: str) -> Encoded:
    return messages.encode(type_url, json.loads(body))


@pytest.fixture(autouse=True, scope="module")
def encode_once() -> Iterator[None]:
    """The same resources come again and again; making protobuf of them is what would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "encode", lambda type_url, body: encoded(type_url, json.dumps(body)))
        yield


steady = settings(max_examples=20, phases=[Phase.generate], deadline=None, derandomize=True, database=None)


class Mesh:
    """A store, a hub and simulated proxies of one namespace."""

    def __init__(self, *objects: samples.Object) -> None:
        self.model, self.store = samples.model(*objects), Store()
        self.hub = Hub(self.store)
        self.store.update(self.model, parts.everything(self.model, {POD}))
        self.proxies: list[tuple[Proxy, Connected]] = []

    def join(self, capture: str = "redirect", **refuses: object) -> Proxy:
        connected = self.hub.join(POD, capture)
        made = Proxy(connected.session, **refuses)  # type: ignore[arg-type]
        self.proxies.append((made, connected))
        return made

    def again(self, proxy: Proxy) -> None:
        """The proxy's stream ends, and it comes anew."""
        (connected,) = [each for found, each in self.proxies if found is proxy]
        self.hub.leave(connected)
        self.proxies = [each for each in self.proxies if each[0] is not proxy]
        connected = self.hub.join(POD)
        proxy.connect(connected.session)
        self.proxies.append((proxy, connected))

    def told(self, *told: Event) -> None:
        touched = set()
        for event in told:
            before, self.model = self.model, changes.applied(self.model, event.object, gone=event.gone)
            touched |= parts.affected(before, self.model, changes.reference(event.object), {POD})
        self.hub.publish(self.store.update(self.model, touched))
        self.wake()

    def wake(self) -> None:
        for proxy, connected in self.proxies:
            if connected.wake.is_set():
                connected.wake.clear()
                proxy.awake = True

    def settle(self) -> None:
        while any(proxy.busy for proxy, _ in self.proxies):
            for proxy, connected in self.proxies:
                self.serve(proxy, connected)
            self.wake()

    def serve(self, proxy: Proxy, connected: Connected) -> None:
        while proxy.requests:
            self.hub.receive(connected, proxy.requests.popleft())
        self.wake()
        while proxy.awake:
            proxy.push()
        while proxy.responses:
            proxy.take()

    def step(self, which: int) -> None:
        for proxy, connected in self.proxies:
            if proxy.requests and which % 3 == 0:
                self.hub.receive(connected, proxy.requests.popleft())
            else:
                proxy.step(which)
        self.wake()

    def served(self, session: Session) -> dict[str, dict[str, str]]:
        """What a session's proxy should have: of each type the names and versions."""
        found: dict[str, dict[str, str]] = {}
        for type_url in envoy.PUSH_ORDER:
            known = {name: self.store.find(type_url, session.scopes, name) for name in
                     self.store.names(type_url, session.scopes)}  # fmt: skip
            found[type_url] = {n: e[1].served.version for n, e in known.items() if e and e[1].served}
        return found


def versions(proxy: Proxy) -> dict[str, dict[str, str]]:
    return {url: {name: version for name, (version, _) in held.items()} for url, held in proxy.has.items()}


def expected(mesh: Mesh, proxy: Proxy) -> dict[str, dict[str, str]]:
    served = mesh.served(proxy.session)
    asked = {url: set(served[url]) if url in ALL else proxy.asked[url] for url in envoy.PUSH_ORDER}
    return {url: {n: v for n, v in served[url].items() if n in asked[url]} for url in envoy.PUSH_ORDER}


Told = st.lists(
    st.tuples(st.lists(events(), max_size=4), st.lists(st.integers(0, 5), max_size=8)), max_size=6
)


@steady
@given(Told, st.sampled_from(["redirect", "env"]))
def test_in_the_end_a_proxy_has_what_is_served(
    told: list[tuple[list[Event], list[int]]], capture: str
) -> None:
    mesh = Mesh(*world())
    proxy = mesh.join(capture)
    for found, steps in told:
        mesh.told(*found)
        for which in steps:
            mesh.step(which)
    mesh.settle()
    assert proxy.session.synced
    assert versions(proxy) == expected(mesh, proxy)
    assert proxy.warming == set()
    assert proxy.dangling == []  # break last: nothing sends to a cluster that goes
    # Endpoints are sent again for a cluster that changed: it waits for them.
    assert [each for each in proxy.twice if each[0] != envoy.ENDPOINTS] == []


@steady
@given(Told, st.sets(st.sampled_from("0123456789abcdef"), min_size=1, max_size=6))
def test_what_one_refuses_keeps_nothing_else_from_anyone(
    told: list[tuple[list[Event], list[int]]], digits: set[str]
) -> None:
    """Some versions are refused by both proxies. Each has all the others, and the last that was good of these."""
    mesh = Mesh(*world())

    def refuses(type_url: str, name: str, version: str) -> bool:
        return version[-1] in digits

    first, second = mesh.join(refuses=refuses), mesh.join(refuses=refuses)
    for found, steps in told:
        mesh.told(*found)
        for which in steps:
            mesh.step(which)
    mesh.settle()
    # What was never good is not served; who has something of that name keeps it.
    layers = mesh.store.layers.items()
    never = {(url, name) for (url, _), layer in layers for name, entry in layer.items() if not entry.served}
    for proxy in (first, second):
        should, found = expected(mesh, proxy), versions(proxy)
        for url in envoy.PUSH_ORDER:
            assert {n: v for n, v in found[url].items() if (url, n) not in never} == should[url]
        for url, held in versions(proxy).items():
            assert not [name for name, version in held.items() if refuses(url, name, version)]


@steady
@given(Told)
def test_a_proxy_that_comes_again_gets_only_what_is_new(told: list[tuple[list[Event], list[int]]]) -> None:
    mesh = Mesh(*world())
    proxy = mesh.join()
    for found, _ in told[1:]:
        mesh.told(*found)
    mesh.settle()
    before = versions(proxy)
    proxy.sent.clear()
    for found, _ in told[:1]:
        mesh.told(*found)
    mesh.again(proxy)
    mesh.settle()
    after = versions(proxy)
    assert after == expected(mesh, proxy)
    assert proxy.warming == set()
    different = {(url, name) for url in after for name, v in after[url].items() if before[url].get(name) != v}
    # Routes may be on their way already when their listener goes; nobody keeps them.
    kept = {(url, name) for url, name in proxy.sent if name in after[url]}
    assert {each for each in kept if each[0] != envoy.ENDPOINTS} == {
        each for each in different if each[0] != envoy.ENDPOINTS
    }


def shop() -> Mesh:
    return Mesh(*samples.shop())


def test_one_change_is_one_response() -> None:
    mesh = shop()
    proxy = mesh.join()
    mesh.settle()
    proxy.sent.clear()
    mesh.told(Event(samples.route("one", samples.to("orders-v2")), False))
    assert len([*proxy.session.responses()]) == 1


def test_while_one_waits_for_its_answer_changes_gather() -> None:
    mesh = shop()
    proxy = mesh.join()
    mesh.settle()
    for weight in (1, 2, 3):
        mesh.told(Event(samples.route("one", samples.to("orders", f"orders-v2:{weight}")), False))
        if proxy.awake:
            proxy.push()
    assert len(proxy.responses) == 1
    mesh.settle()
    assert proxy.sent.count((envoy.ROUTES, "shop/orders/80")) == 3  # the first, weight 1, weight 3


def test_refused_names_that_are_no_longer_wanted_stop_nothing() -> None:
    """Of several that were refused together each is sent alone; one that nobody wants any more is passed over."""
    mesh = shop()
    session = Session(mesh.store, ("",))
    names = ["shop/orders/80", "shop/orders-v2/80"]
    asked = discovery_pb2.DeltaDiscoveryRequest(type_url=envoy.ROUTES, resource_names_subscribe=names)
    session.receive(asked)
    (both,) = session.responses()
    assert {each.name for each in both.resources} == set(names)
    answer = discovery_pb2.DeltaDiscoveryRequest(type_url=envoy.ROUTES, response_nonce=both.nonce)
    answer.error_detail.message = "no"
    session.receive(answer)
    first = session.types[envoy.ROUTES].alone[0]
    unwanted = discovery_pb2.DeltaDiscoveryRequest(type_url=envoy.ROUTES, resource_names_unsubscribe=[first])
    session.receive(unwanted)
    (other,) = session.responses()
    assert [each.name for each in other.resources] == [each for each in names if each != first]


def test_what_a_proxy_never_had_is_not_removed() -> None:
    mesh = shop()
    proxy = mesh.join()
    mesh.settle()
    extra = samples.service("third", address="10.96.0.7")
    mesh.told(Event(extra, False))
    mesh.told(Event(extra, True))
    assert [*proxy.session.responses()] == []
    mesh.settle()
    assert versions(proxy) == expected(mesh, proxy)


def test_a_refusal_of_what_others_run_is_one_proxys_own() -> None:
    mesh = shop()
    good = mesh.join()
    mesh.settle()
    bad = mesh.join(refuses=lambda url, name, version: (url, name) == (envoy.ROUTES, "shop/orders/80"))
    mesh.settle()
    assert mesh.store.refused_entries() == []
    assert good.session.synced
    assert not bad.session.synced
    # What is to stand in for it, this one refuses as well; after that it is left in peace.
    assert [each.names for each in bad.session.refusals] == [("shop/orders/80",)] * 2


def test_a_cluster_that_changed_gets_its_endpoints_again() -> None:
    mesh = shop()
    proxy = mesh.join()
    mesh.settle()
    proxy.sent.clear()
    mesh.told(Event(samples.pod("orders-1", "10.244.0.11", account="another"), False))
    mesh.settle()
    assert set(proxy.sent) >= {(envoy.CLUSTER, "shop/orders/80"), (envoy.ENDPOINTS, "shop/orders/80")}
    assert proxy.warming == set()


def test_what_names_a_cluster_goes_before_it() -> None:
    mesh = Mesh(*samples.shop(), samples.route("one", samples.to("orders", "orders-v2")))
    proxy = mesh.join()
    mesh.settle()
    mesh.told(Event(samples.service("orders-v2", address="10.96.0.2"), True))
    proxy.push()
    first = [(each.type_url, [*each.removed_resources]) for each in proxy.responses]
    assert (envoy.LISTENER, ["shop/orders-v2/80"]) in first
    assert envoy.CLUSTER not in dict(first)
    assert [name for each in proxy.responses for name in clusters_of(each)] == [
        "shop/orders/80",
        "unavailable",
    ]
    mesh.settle()
    assert proxy.dangling == []
    assert "shop/orders-v2/80" not in proxy.has[envoy.CLUSTER]


def clusters_of(response: Any) -> list[str]:
    if response.type_url != envoy.ROUTES:
        return []
    return sorted(
        {name for each in response.resources for name in clusters(each.resource.value, envoy.ROUTES)}
    )


def test_for_routes_that_were_never_good_a_new_proxy_gets_others() -> None:
    """A proxy that comes after the refusal must not wait for them: everything is answered 503 until they are mended."""
    mesh = shop()
    bad: set[str] = set()
    first = mesh.join(refuses=lambda url, name, version: version in bad)
    mesh.settle()
    mesh.told(Event(samples.service("third", address="10.96.0.7"), False))
    key = (envoy.ROUTES, "shop/third/80")
    (_, entry) = mesh.store.find(envoy.ROUTES, ("",), "shop/third/80") or (None, None)
    assert entry is not None
    bad.add(entry.wanted.version)
    mesh.settle()
    assert first.session.refusals
    # The one that refused them gets them too, and is not done for all that.
    assert first.session.types[envoy.ROUTES].has["shop/third/80"] == unavailable("shop/third/80").version
    assert not first.session.synced
    later = mesh.join()
    mesh.settle()
    assert later.sent.count(key) == 1
    assert later.session.types[envoy.ROUTES].has["shop/third/80"] == unavailable("shop/third/80").version
    mesh.told(Event(samples.route("one", samples.to("orders"), parent="third"), False))
    mesh.settle()
    assert later.sent.count(key) == 2
    assert later.session.synced
