"""`labs mesh proxies`, `routes`, `config`: what a person reads."""

from __future__ import annotations

from labsupport.cli import meshlook
from labsupport.mesh.admin.look import ProxyState, RouteState
from labsupport.mesh.admin.running import Inbound, Outbound, Route, Running

PROXY = ProxyState("shop", "web-1", "mesh-control-1", "1.40.0", 1000.0, True, 1090.0, "", ())


def test_proxies() -> None:
    refusing = ProxyState(
        "shop", "web-2", "mesh-control-1", "1.40.0", 0.0, False, 1000.0, "bad", ("routes shop/a/80",)
    )
    assert meshlook.describe_proxies([PROXY, refusing], 1100.0).splitlines() == [
        "POD         ENVOY   SINCE  SYNCED  LAST ACK",
        "shop/web-1  1.40.0  100s   yes     10s",
        "shop/web-2  1.40.0  18m    no      100s",
        "",
        "shop/web-2 refuses routes shop/a/80:",
        "  bad",
    ]
    assert "labs mesh status" in meshlook.describe_proxies([], 0.0)


def test_routes() -> None:
    good = (("Accepted", True, "Accepted", "attached"),)
    bad = (*good, ("ResolvedRefs", False, "BackendNotFound", "there is no Service shop/x"))
    found = [
        RouteState("HTTPRoute", "shop", "a", "shop/orders:80", "everyone", good),
        RouteState("HTTPRoute", "tea", "b", "shop/orders", "namespace tea", bad),
        RouteState("GRPCRoute", "shop", "c", "shop/orders", "everyone", ()),
    ]
    assert [each.ok for each in found] == [True, False, False]
    assert meshlook.describe_routes(found).splitlines() == [
        "ROUTE             PARENT          FOR            OK",
        "HTTPRoute shop/a  shop/orders:80  everyone       yes",
        "HTTPRoute tea/b   shop/orders     namespace tea  no",
        "GRPCRoute shop/c  shop/orders     everyone       no",
        "",
        "HTTPRoute tea/b: not ResolvedRefs (BackendNotFound)",
        "  there is no Service shop/x",
        "",
        "GRPCRoute shop/c: nothing is said of it yet",
    ]


def test_configuration() -> None:
    uri = "spiffe://labs.example/ns/shop/sa/orders"
    route = Route("r", "everything", "to shop/orders/80")
    out = Outbound("shop/orders", 80, "10.96.0.1:80", "http", "mesh", (uri,), ("10.244.0.11:8080",), (route,))
    assert meshlook.describe_config(Running((out,), (Inbound("8080", "STRICT", "http"),))).splitlines() == [
        "Out, to Services:",
        "",
        "shop/orders:80  at 10.96.0.1:80, http, mutual TLS with shop/orders",
        "  endpoints  10.244.0.11:8080",
        "  everything: to shop/orders/80",
        "",
        "In:",
        "",
        "PORT  ANSWERS                  SPEAKS",
        "8080  the mesh alone (STRICT)  http",
    ]
