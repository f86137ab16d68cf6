"""What a real Envoy makes of the configuration: it takes every resource, and refuses one bad one alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labsupport.mesh.translate import envoy
from tests.mesh import samples
from tests.mesh.conftest import Control, Envoy, wait


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
    filters = [
        {
            "type": "RequestHeaderModifier",
            "requestHeaderModifier": {"set": [header], "add": [header], "remove": ["x-b"]},
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
    strict = [{"port": 9091, "mode": "PERMISSIVE"}, {"port": 5000, "mode": "PERMISSIVE"}]
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
        samples.route("grpc", samples.to("all", **method), parent="all", kind="GRPCRoute"),
        {
            "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": "shop"},
            "spec": {"mode": "STRICT", "ports": strict},
        },
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
    after = {url: each.acknowledged for url, each in session.types.items()}
    assert [url for url in after if after[url] != before[url]] == [envoy.ROUTES]
    gone = samples.service("orders-v2")
    control.apply(gone, gone=True)
    wait(lambda: "shop/orders-v2/80::" not in proxy.get("/clusters"), "the cluster to go")
    wait(lambda: session.synced, "the last answer")
