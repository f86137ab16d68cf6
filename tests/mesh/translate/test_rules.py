"""Rules of translation that need no proxy to be seen."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labsupport.mesh import api, names
from labsupport.mesh.api import Name, Port
from labsupport.mesh.translate import envoy, filters, inbound, matches, parts, routes, services
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import Resource
from tests.mesh import samples
from tests.mesh.samples import Object, to

SHOP = Name("shop", "orders")
HTTP = Port("http", 80, "http", 8080)
steady = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def made(kind: str, of: Name, *objects: Object) -> dict[tuple[str, str], Resource]:
    """The resources of a part, by scope and name."""
    found = parts.translate(samples.model(*objects), Part(kind, of))
    return {(each.key.scope, each.key.name): each for each in found}


def labels(configuration: envoy.Json) -> list[str]:
    return [each.get("name", "") for each in configuration["virtual_hosts"][0]["routes"]]


paths = st.one_of(
    st.just({"type": "Exact", "value": "/a/b"}),
    st.builds(lambda v: {"type": "PathPrefix", "value": v}, st.sampled_from(["/", "/a", "/a/", "/a/b"])),
)
named = st.lists(
    st.builds(lambda n: {"name": n, "value": "1"}, st.sampled_from(["x-a", "X-A", "x-b", "x-c"])), max_size=3
)
http_matches = st.fixed_dictionaries(
    {}, optional={"path": paths, "method": st.just("GET"), "headers": named, "queryParams": named}
)


def precedence(match: Object) -> tuple[Any, ...]:
    """The Gateway API's order, as its reference words it: the smaller comes first."""
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    different = {each["name"].lower() for each in match.get("headers") or ()}
    return (
        path["type"] != "Exact",
        -len(path["value"]) if path["type"] == "PathPrefix" else 0,
        "method" not in match,
        -len(different),
        -len({each["name"] for each in match.get("queryParams") or ()}),
    )


@steady
@given(st.lists(http_matches, min_size=1, max_size=8), st.booleans())
def test_matches_come_in_the_order_of_the_gateway_api(found: list[Object], young_first: bool) -> None:
    rules = [to("orders", name=str(number), matches=[match]) for number, match in enumerate(found)]
    half = len(rules) // 2
    old, young = samples.route("b", *rules[:half]), samples.route("a", *rules[half:])
    young["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    told = [young, old] if young_first else [old, young]
    configuration = made("routes", SHOP, *samples.shop(), *told)["", "shop/orders/80"].body
    order = [int(each.rpartition("/")[2]) for each in labels(configuration)]
    assert sorted(order) == [*range(len(found))]
    ranks = [precedence(found[number]) for number in order]
    assert ranks == sorted(ranks)
    for before, after in pairwise(order):
        if matches.read("HTTPRoute", found[before]).order == matches.read("HTTPRoute", found[after]).order:
            assert before < after  # the older route, then the order in the file


def test_a_regular_expression_is_before_everything_and_after_what_is_written_out() -> None:
    kinds = [
        ("PathPrefix", "/"),
        ("RegularExpression", "/[a-z]+/very/long"),
        ("PathPrefix", "/a"),
        ("Exact", "/a"),
    ]
    order = sorted(kinds, key=lambda each: matches.read("HTTPRoute", {
        "path": {"type": each[0], "value": each[1]}}).order)  # fmt: skip
    assert order == [kinds[3], kinds[2], kinds[1], kinds[0]]


def test_grpc_matches_by_the_length_of_service_method_and_headers() -> None:
    found: list[Object] = [
        {},
        {"headers": [{"name": "a", "value": "b"}]},
        {"method": {"method": "LongMethod"}},
        {"method": {"service": "a.B"}},
        {"method": {"service": "a.B", "method": "C"}},
        {"method": {"service": "a.Longer"}},
    ]
    order = sorted(range(len(found)), key=lambda number: matches.read("GRPCRoute", found[number]).order)
    assert order == [5, 4, 3, 2, 1, 0]


def test_alternatives_in_a_grpc_regex_stay_together() -> None:
    match = {"method": {"type": "RegularExpression", "service": "a|b", "method": "C|D"}}
    assert matches.read("GRPCRoute", match).envoy["safe_regex"] == {"regex": "/(?:a|b)/(?:C|D)"}


def test_of_equal_names_the_first_counts() -> None:
    twice = [{"name": "X-A", "value": "1"}, {"name": "x-a", "value": "2"}]
    found = matches.read("HTTPRoute", {"headers": twice, "queryParams": twice}).envoy
    assert [each["name"] for each in found["headers"]] == ["X-A"]
    assert [each["name"] for each in found["query_parameters"]] == ["X-A", "x-a"]  # these are case-sensitive


@pytest.mark.parametrize(
    ("duration", "seconds"), [("1h", 3600), ("1m30s", 90), ("500ms", 0.5), ("1s1ms", 1.001), ("0s", 0)]
)
def test_durations(duration: str, seconds: float) -> None:
    assert filters.seconds(duration) == seconds


def test_a_filter_that_is_not_applied_lets_nothing_through() -> None:
    backend = {"name": "orders", "port": 80, "filters": [{"type": "URLRewrite", "urlRewrite": {}}]}
    route = samples.route("one", {"backendRefs": [backend]})
    configuration = made("routes", SHOP, *samples.shop(), route)["", "shop/orders/80"].body
    (entry,) = configuration["virtual_hosts"][0]["routes"]
    assert entry["direct_response"] == {"status": 500}


def test_where_there_are_both_kinds_grpc_routes_hold() -> None:
    both = [samples.route("one", to("orders-v2")), samples.route("two", to("orders"), kind="GRPCRoute")]
    consumer = samples.route("mine", to("orders"), namespace="other")
    consumer["spec"]["parentRefs"][0]["namespace"] = "shop"
    found = made("routes", SHOP, *samples.shop(), *both, consumer)
    assert labels(found["", "shop/orders/80"].body) == ["GRPCRoute/shop/two/0"]
    assert labels(found["namespace/other", "shop/orders/80"].body) == ["HTTPRoute/other/mine/0"]


def test_consumer_routes_are_for_their_namespace_alone() -> None:
    consumer = samples.route("mine", to("orders"), namespace="other")
    consumer["spec"]["parentRefs"][0]["namespace"] = "shop"
    producer = samples.route("theirs", to("orders-v2"))
    found = made("routes", SHOP, *samples.shop(), producer, consumer)
    assert labels(found["", "shop/orders/80"].body) == ["HTTPRoute/shop/theirs/0"]
    assert found["namespace/other", "shop/orders/80"].sources == (("HTTPRoute", "other", "mine"),)


def test_a_route_of_one_port_leaves_the_others_alone() -> None:
    ports = [{"name": "http", "port": 80}, {"name": "http-b", "port": 81}, {"name": "tcp", "port": 82}]
    for where in ({"port": 81}, {"sectionName": "http-b"}):
        found = made(
            "routes", SHOP, samples.service("orders", *ports), samples.route("one", to("orders"), **where)
        )
        assert {name: labels(each.body) for (_, name), each in found.items()} == {
            "shop/orders/80": [""],
            "shop/orders/81": ["HTTPRoute/shop/one/0"],
        }


def test_a_service_without_an_address_takes_no_routes() -> None:
    headless = samples.service("orders", address="None")
    found = made("routes", SHOP, headless, samples.route("one", to("orders")))
    assert labels(found["", "shop/orders/80"].body) == [""]


def test_an_external_name_is_none_of_the_meshs_business() -> None:
    found = samples.service("orders")
    found["spec"] = {"type": "ExternalName", "externalName": "example.org", "ports": [{"port": 80}]}
    assert made("service", SHOP, found) == {}
    assert api.service(found).ports == ()


def test_each_address_of_a_service_has_a_listener() -> None:
    found = samples.service("orders")
    found["spec"]["clusterIPs"] = ["10.96.0.1", "fd00::1", "10.96.0.9"]
    names_ = [name for (scope, name), each in made("service", SHOP, found).items() if scope == "captured"]
    assert names_ == ["shop/orders/80@10.96.0.1", "shop/orders/80@10.96.0.9"]


def test_ports_of_other_protocols_with_the_same_number() -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    (port,) = api.service(samples.service("dns", *ports)).ports
    assert port == Port("dns-tcp", 53, "auto", 53)


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        ({"name": "http"}, "http"),
        ({"name": "http-admin"}, "http"),
        ({"name": "grpc"}, "http2"),
        ({"name": "HTTPS"}, "tls"),
        ({"name": "tcp-banner"}, "tcp"),
        ({"name": "web"}, "auto"),
        ({}, "auto"),
        ({"name": "web", "appProtocol": "kubernetes.io/h2c"}, "http2"),
        ({"name": "http", "appProtocol": "example.org/own"}, "tcp"),
        ({"name": "tcp", "appProtocol": "HTTP"}, "http"),
    ],
)
def test_what_a_port_says_of_its_protocol(port: Object, protocol: str) -> None:
    assert api.protocol(port) == protocol


def cluster(*objects: Object) -> envoy.Json:
    model = samples.model(samples.service("orders"), *objects)
    (found,) = services.clusters(model, model.services[SHOP], HTTP)
    return found


def test_a_pod_that_goes_changes_no_cluster() -> None:
    """Its Pod is gone before its endpoint is; for that moment it must not look like one outside the mesh."""
    addresses = {"orders-1": "10.244.0.11", "orders-2": "10.244.0.12"}
    pods = [samples.pod(name, address, account="orders") for name, address in addresses.items()]
    both = samples.endpoint_slice("orders", "orders-1@10.244.0.11", "orders-2@10.244.0.12")
    before = cluster(*pods, both)
    both["endpoints"][1]["conditions"] = {"ready": False, "serving": False, "terminating": True}
    assert cluster(pods[0], both) == before
    # But for what still serves where nothing else does.
    both["endpoints"][0]["conditions"] = {"ready": False, "serving": False, "terminating": False}
    both["endpoints"][1]["conditions"] = {"ready": False, "serving": True, "terminating": True}
    assert "transport_socket_matches" in cluster(pods[0], both)


def test_a_pod_outside_the_mesh_is_known_before_it_is_ready() -> None:
    """The cluster is one for both kinds before the first request goes there."""
    mixed = samples.endpoint_slice("orders", "orders-1@10.244.0.11", "outside@10.244.0.12")
    mixed["endpoints"][1]["conditions"] = {"ready": False, "serving": False, "terminating": False}
    assert "transport_socket_matches" in cluster(samples.pod("orders-1", "10.244.0.11"), mixed)


def test_an_endpoint_in_two_slices_is_one() -> None:
    first = samples.endpoint_slice("orders", "orders-1@10.244.0.11")
    second = samples.endpoint_slice("orders", "orders-1@10.244.0.11", "orders-2@10.244.0.12")
    second["metadata"]["name"] = "orders-2"
    model = samples.model(samples.service("orders"), first, second)
    found = services.endpoints(model, model.services[SHOP], HTTP)["endpoints"][0]["lb_endpoints"]
    assert [each["endpoint"]["address"]["socket_address"]["address"] for each in found] == [
        "10.244.0.11",
        "10.244.0.12",
    ]


def matched(listener: envoy.Json) -> list[str]:
    return [str(each["filter_chain_match"]) for each in listener["filter_chains"]]


@pytest.mark.parametrize("mode", [api.STRICT, api.PERMISSIVE])
@pytest.mark.parametrize("number", [8080, 5000, names.INBOUND])
def test_no_two_chains_match_alike(mode: str, number: int) -> None:
    """Envoy would refuse the whole listener: also where a port is this proxy's own."""
    policy = {
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {"ports": [{"port": number, "mode": mode}]},
    }
    odd = samples.service("odd", {"name": "x", "port": 80, "targetPort": names.INBOUND}, app="orders")
    model = samples.model(*samples.shop(), odd, policy)
    found = matched(inbound.listener(model, model.workloads[Name("shop", "orders-1")]))
    assert len(found) == len(set(found))


def test_two_services_that_say_different_things_of_a_port_say_nothing() -> None:
    other = samples.service("other", {"name": "tcp", "port": 90, "targetPort": 8080}, app="orders")
    third = samples.service("third", {"name": "http", "port": 91, "targetPort": 8080}, app="orders")
    model = samples.model(*samples.shop(), other, third)
    assert model.ports_of(model.workloads[Name("shop", "orders-1")]) == {8080: api.AUTO}


def test_a_route_may_name_a_service_of_any_namespace() -> None:
    """Without a ReferenceGrant, in a mesh (GEP-1294)."""
    rule = {"backendRefs": [{"name": "orders", "namespace": "shop", "port": 80}]}
    found = samples.route("one", rule, namespace="other", parent="mine")
    model, route = samples.model(*samples.shop(), found), api.route(found)
    assert routes.usable(model, route.backends()[0]) == "shop/orders/80"
