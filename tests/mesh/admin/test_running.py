"""What a proxy runs, said in our words: from the configuration that translation gives."""

from __future__ import annotations

from typing import Any

from labsupport.mesh.admin.running import Inbound, identity, read, resources
from labsupport.mesh.api import Name
from labsupport.mesh.translate import envoy, parts
from tests.mesh import samples

KINDS = {
    envoy.LISTENER: "listeners",
    envoy.CLUSTER: "clusters",
    envoy.ROUTES: "routes",
    envoy.ENDPOINTS: "endpoints",
}


def configuration(*objects: samples.Object, pod: str = "orders-1") -> dict[str, list[Any]]:
    """What the proxy of a Pod has of these objects."""
    model = samples.model(*objects)
    found: dict[str, list[Any]] = {}
    for part in parts.everything(model, {Name("shop", pod)}):
        for each in parts.translate(model, part):
            if each.key.type_url in KINDS:
                found.setdefault(KINDS[each.key.type_url], []).append(each.body)
    return found


def test_a_service_of_the_mesh() -> None:
    out = {each.service: each for each in read(configuration(*samples.shop())).outbound}
    orders = out["shop/orders"]
    assert (orders.port, orders.address, orders.speaks, orders.tls) == (80, "10.96.0.1:80", "http", "mesh")
    assert orders.identities == ("spiffe://labs.example/ns/shop/sa/orders",)
    assert orders.endpoints == ("10.244.0.11:8080", "10.244.0.12:8080")
    (route,) = orders.routes
    assert (route.match, route.action) == ("everything", "to shop/orders/80")


def test_endpoints_outside_of_the_mesh_are_named() -> None:
    pods = [samples.pod("orders-1", "10.244.0.11"), samples.pod("old-1", "10.244.0.99", mesh=False)]
    service = samples.service("orders")
    both = samples.endpoint_slice("orders", "orders-1@10.244.0.11", "old-1@10.244.0.99")
    (orders,) = read(configuration(service, both, *pods)).outbound
    assert orders.tls == "mixed"
    assert orders.endpoints == ("10.244.0.11:8080", "10.244.0.99:8080 (plain)")


def test_routes_in_words() -> None:
    header = {"name": "x-user", "value": "anna"}
    matches = [{"path": {"type": "PathPrefix", "value": "/tea"}, "headers": [header], "method": "GET"}]
    split = samples.to("orders:3", "orders-v2:1", matches=matches, timeouts={"request": "2s"})
    filters = [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]
    away = {"matches": [{"path": {"type": "Exact", "value": "/old"}}], "filters": filters}
    route = samples.route("split", split, away, samples.to("nothing"))
    out = {each.service: each for each in read(configuration(*samples.shop(), route)).outbound}
    said = [(each.match, each.action) for each in out["shop/orders"].routes]
    assert said == [
        ("exactly /old", "redirect (moved permanently)"),
        (
            "/tea and below, x-user = anna, method = GET",
            "to 75 % shop/orders/80, 25 % shop/orders-v2/80, within 2.0s",
        ),
        ("everything", "answer 500"),
    ]


def test_a_traffic_policy_in_words() -> None:
    services = [
        samples.service(name, address=f"10.96.1.{i}") for i, name in enumerate(("one", "two", "four"))
    ]
    found = read(configuration(*services, samples.service("none"), *samples.traffic_policies())).outbound
    said = {each.service: (each.policy, each.traffic) for each in found}
    assert said == {
        "shop/none": ("", ()),
        "shop/one": (
            "shop/one",
            (
                "by hash",
                "at most 100 connections",
                "at most 10 waiting requests",
                "at most 50 open requests",
                "retries at most 50 % of open requests, or 10",
                "left out for 5.0s after 3 errors",
            ),
        ),
        "shop/two": ("shop/two", ("by hash", "delayed by 2.0s (10 %)", "aborted with 503 (0.5 %)")),
        "shop/four": ("shop/four", ("in turns", "at most 1 connections")),
    }
    routes = {each.service: [(r.match, r.action) for r in each.routes] for each in found}
    codes = "gateway-error, reset, connect-failure, refused-stream, unavailable, retriable-status-codes"
    assert routes["shop/one"] == [
        ("method ~ GET|POST", f"to shop/one/80, tried 2 times more after {codes}, each within 1.5s"),
        ("everything", "to shop/one/80"),
    ]
    assert routes["shop/none"] == [("everything", "to shop/none/80")]


def test_what_a_pod_answers() -> None:
    policy = {
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": "shop"},
        "spec": {"mode": "STRICT", "ports": [{"port": 9000, "mode": "PERMISSIVE"}]},
    }
    assert read(configuration(*samples.shop(), policy)).inbound == (
        Inbound("8080", "STRICT", "http"),
        Inbound("9000", "PERMISSIVE", "auto"),
        Inbound("any", "STRICT", "auto"),
    )


def test_resources_of_envoys_answer() -> None:
    kind = "type.googleapis.com/envoy.admin.v3."
    configs = [
        {"@type": f"{kind}BootstrapConfigDump", "bootstrap": {}},
        {"@type": f"{kind}ListenersConfigDump", "dynamic_listeners": [
            {"name": "a", "active_state": {"listener": {"name": "a"}}}, {"name": "warming", "warming_state": {}}]},
        {"@type": f"{kind}RoutesConfigDump", "dynamic_route_configs": [{"route_config": {"name": "b"}}]},
    ]  # fmt: skip
    assert resources({"configs": configs}) == {"listeners": [{"name": "a"}], "routes": [{"name": "b"}]}


def test_identities_as_people_say_them() -> None:
    assert identity("spiffe://labs.example/ns/shop/sa/orders") == "shop/orders"
    assert identity("spiffe://other.example/x") == "spiffe://other.example/x"
