"""What a real Envoy makes of the configuration: it takes every resource, and refuses one bad one alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labsupport.mesh import names
from labsupport.mesh.admin import running
from labsupport.mesh.translate import envoy
from tests.mesh import samples
from tests.mesh.conftest import Control, Envoy, wait
from tests.mesh.translate.test_golden import POLICIES


def everything() -> list[samples.Object]:
    """Each kind of configuration that translation can give."""
    ports = [
        {"name": "http", "port": 80},
        {"name": "grpc", "port": 7070},
        {"name": "tcp", "port": 9090},
        {"name": "https", "port": 443},
        {"name": "any", "port": 8081},
    ]
    ports = [{**each, "targetPort": int(each["port"]) + 1} for each in ports]
    slices = [{"name": each["name"], "port": each["port"] + 1} for each in ports]
    rule = samples.to("orders", "orders-v2:3")
    header = {"name": "x-a", "value": "100%"}
    host = {"name": "Host", "value": "inner"}
    filters = [
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [header, host], "add": [header], "remove": ["x-b", "Host"]},
        },
        {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [header]}},
        {
            "type": "RequestMirror",
            "requestMirror": {"backendRef": {"name": "orders-v2", "port": 80}, "percent": 10},
        },
    ]
    matches = [
        {"path": {"type": "Exact", "value": "/a"}, "method": "GET"},
        {"path": {"type": "RegularExpression", "value": "/a.*"}, "headers": [{"name": "x-a", "value": "b"}]},
        {"path": {"type": "PathPrefix", "value": "/a/"}, "queryParams": [{"name": "q", "value": "b"}]},
    ]
    redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 308, "path": {
        "type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}  # fmt: skip
    rewrite = {"type": "URLRewrite", "urlRewrite": {"hostname": "other", "path": {
        "type": "ReplaceFullPath", "replaceFullPath": "/b"}}}  # fmt: skip
    timeouts = {"request": "1m", "backendRequest": "500ms"}
    # 15006 is the proxy's own: a chain for it is there already, and two that match alike are refused.
    strict = [
        {"port": 15006, "mode": "PERMISSIVE"},
        {"port": 9091, "mode": "PERMISSIVE"},
        {"port": 5000, "mode": "PERMISSIVE"},
    ]
    method = {"matches": [{"method": {"service": "a.B", "method": "C"}}]}
    return [
        *samples.shop(),
        samples.service("all", *ports, address="10.96.0.9", app="orders"),
        samples.endpoint_slice("all", "orders-1@10.244.0.11", "outside@10.244.0.99", ports=slices),
        samples.route("producer", {**rule, "filters": filters, "matches": matches, "timeouts": timeouts}),
        samples.route(
            "redirect",
            {"filters": [redirect], "matches": matches[2:]},
            samples.to("orders", filters=[rewrite]),
        ),
        samples.route("consumer", samples.to("orders"), namespace="other"),
        *POLICIES,
        samples.route("grpc", samples.to("all", **method), parent="all", kind="GRPCRoute"),
        {
            "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "shop"},
            "spec": {"mode": "STRICT", "ports": strict},
        },
        *(
            samples.service(name, *ports[::2], address=f"10.96.1.{number}")
            for number, name in enumerate(("one", "two", "three", "four"))
        ),
        *samples.traffic_policies(),
    ]


def test_envoy_takes_every_kind_of_configuration(
    control: Control, start_envoy: Callable[[], Envoy], certificates: Path, tmp_path: Path
) -> None:
    control.start((certificates / "root.pem").read_text(), everything())
    proxy = start_envoy()
    session = control.session()
    assert [each.message for each in session.refusals] == [], (tmp_path / "envoy.log").read_text()
    assert not control.store.failures
    wait(lambda: "LIVE" in (proxy.get("/server_info") or ""), "Envoy is live: nothing is waited for")
    clusters = json.loads(proxy.get("/clusters?format=json"))["cluster_statuses"]
    dump = running.resources(json.loads(proxy.get("/config_dump?include_eds")))
    said = {
        each.service: (each.policy, len(each.traffic))
        for each in running.read(dump).outbound
        if each.port == 80
    }
    assert said["shop/one"] == ("shop/one", 6)  # each of its parts, as Envoy tells it
    assert said["shop/two"] == ("shop/two", 3)
    assert said["shop/all"] == ("", 0)
    assert {each["name"] for each in clusters} >= {"shop/all/80", "shop/all/9090/tcp", "peers", "inbound"}
    assert "is deprecated" not in (tmp_path / "envoy.log").read_text()


def test_one_bad_resource_keeps_no_other_away(
    control: Control, start_envoy: Callable[[], Envoy], certificates: Path
) -> None:
    control.start((certificates / "root.pem").read_text(), samples.shop())
    proxy = start_envoy()
    session = control.session()
    control.spoilt = "shop/bad"
    bad = samples.route("bad", samples.to("orders-v2"))
    good = samples.route("good", samples.to("orders", matches=[{"method": "PUT"}]), parent="orders-v2")
    control.apply(bad, good)
    wait(lambda: session.refusals, "a refusal")
    wait(lambda: "HTTPRoute/shop/good/0" in proxy.get("/config_dump"), "the good route")
    (refusal,) = session.refusals
    assert refusal.names == ("shop/orders/80",)
    assert "invalid perl operator" in refusal.message
    _, entry = control.store.find(envoy.ROUTES, ("",), "shop/orders/80") or (None, None)
    assert entry is not None
    assert [each.name for each in entry.sources] == ["bad"]
    assert "HTTPRoute/shop/bad/0" not in proxy.get("/config_dump")
    # Mended, it is taken at once.
    control.spoilt = ""
    control.apply(samples.route("bad", samples.to("orders-v2", matches=[{"method": "PATCH"}])))
    wait(lambda: "HTTPRoute/shop/bad/0" in proxy.get("/config_dump"), "the mended route")
    wait(lambda: session.synced, "the last answer")


def test_a_proxy_that_comes_after_a_refusal_is_not_kept_waiting(
    control: Control, start_envoy: Callable[[], Envoy], certificates: Path
) -> None:
    control.spoilt = "shop/bad"
    control.start(
        (certificates / "root.pem").read_text(), [*samples.shop(), samples.route("bad", samples.to("orders"))]
    )
    first = start_envoy()
    wait(lambda: control.store.refused_entries(), "the refusal")
    first.end()
    proxy = start_envoy()
    wait(lambda: "LIVE" in (proxy.get("/server_info") or ""), "Envoy is live")
    assert '"status": 503' in proxy.get("/config_dump")


def test_what_changes_is_sent_and_nothing_else(
    control: Control, start_envoy: Callable[[], Envoy], certificates: Path
) -> None:
    control.start((certificates / "root.pem").read_text(), samples.shop())
    proxy = start_envoy()
    session = control.session()
    before: dict[str, Any] = {url: each.acknowledged for url, each in session.types.items()}
    control.apply(samples.route("new", samples.to("orders-v2")))
    wait(lambda: "HTTPRoute/shop/new/0" in proxy.get("/config_dump"), "the route")
    wait(lambda: session.synced, "its answer")
    after = {url: each.acknowledged for url, each in session.types.items()}
    assert [url for url in after if after[url] != before[url]] == [envoy.ROUTES]
    gone = samples.service("orders-v2")
    control.apply(gone, gone=True)
    wait(lambda: "shop/orders-v2/80::" not in proxy.get("/clusters"), "the cluster to go")
    wait(lambda: session.synced, "the last answer")


def excluded(name: str, address: str) -> samples.Object:
    made = samples.pod(name, address)
    made["metadata"]["annotations"] = {names.EXCLUDE_INBOUND: "8080,9090"}
    return made


def addresses(proxy: Envoy) -> dict[str, str]:
    """The addresses of the listeners."""
    found = json.loads(proxy.get("/config_dump?resource=dynamic_listeners"))["configs"]
    active = [each["active_state"]["listener"] for each in found if "active_state" in each]
    return {each["name"]: each["address"]["socket_address"]["address"] for each in active}


def test_a_service_that_is_made_anew_and_an_address_that_is_handed_on(
    control: Control, start_envoy: Callable[[], Envoy], certificates: Path
) -> None:
    control.start((certificates / "root.pem").read_text(), samples.shop())
    proxy = start_envoy()
    session = control.session()
    # Deleted and made anew between two looks: the same name, another address; and another Service has the old one.
    control.apply(
        samples.service("orders", address="10.96.0.8"), samples.service("heir", address="10.96.0.1")
    )
    wanted = {"shop/orders/80": "10.96.0.8", "shop/heir/80": "10.96.0.1"}
    wait(lambda: addresses(proxy).items() >= wanted.items(), "the new addresses")
    # Gone, and there again.
    control.apply(samples.service("orders"), gone=True)
    wait(lambda: "shop/orders/80" not in addresses(proxy), "the listener to go")
    control.apply(samples.service("orders", address="10.96.0.9"))
    wait(lambda: addresses(proxy).get("shop/orders/80") == "10.96.0.9", "the listener that is new")
    wait(lambda: "shop/orders/80::10.244.0.11:8080" in proxy.get("/clusters"), "its endpoints")
    wait(lambda: session.synced, "the last answer")
    assert session.refusals == []


def test_pods_and_policies_change_no_chain_that_stays(
    control: Control, start_envoy: Callable[[], Envoy], certificates: Path
) -> None:
    """A listener that is changed in place keeps the connections of the filter chains that are as before."""
    control.start((certificates / "root.pem").read_text(), samples.shop())
    proxy = start_envoy()
    session = control.session()
    assert proxy.stat("listener_manager.listener_in_place_updated") == 0
    control.apply(samples.pod("new-1", "10.244.0.41"), excluded("away-1", "10.244.0.42"))
    wait(lambda: proxy.stat("listener_manager.listener_in_place_updated") >= 1, "the outbound listener")
    wait(lambda: session.synced, "the last answer")
    before = proxy.stat("listener_manager.listener_in_place_updated")
    control.apply(
        {
            "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "shop"},
            "spec": {"mode": "STRICT"},
        }
    )
    wait(
        lambda: proxy.stat("listener_manager.listener_in_place_updated") == before + 1, "the inbound listener"
    )
    wait(lambda: session.synced, "the last answer")
    assert proxy.stat("listener_manager.listener_modified") == before + 1  # none but in place
    assert session.refusals == []


def test_envoy_takes_the_configuration_of_a_pod_that_is_not_captured(
    control: Control, start_envoy: Callable[..., Envoy], certificates: Path, tmp_path: Path
) -> None:
    own = samples.pod("orders-1", "10.244.0.11", account="orders")
    own["metadata"]["labels"][names.PROXY] = "env"
    control.start((certificates / "root.pem").read_text(), [*everything(), own])
    proxy = start_envoy("env")
    session = control.session()
    assert [each.message for each in session.refusals] == [], (tmp_path / "envoy.log").read_text()
    wait(lambda: "LIVE" in (proxy.get("/server_info") or ""), "Envoy is live: nothing is waited for")
    assert set(addresses(proxy)) == {"explicit"}  # nothing is redirected to it
    assert "orders.shop.svc.cluster.local:80" in proxy.get("/config_dump")
    assert "is deprecated" not in (tmp_path / "envoy.log").read_text()
