"""What requests meet: routes as they are translated, in a real Envoy, with applications behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.mesh import samples
from tests.mesh.samples import Object, to
from tests.mesh.translate.conftest import Routed

TWO = ({"name": "http", "port": 80}, {"name": "http-other", "port": 8080})


def redirect(**asked: Any) -> Object:
    return {"filters": [{"type": "RequestRedirect", "requestRedirect": asked}]}


def rewrite(prefix: str, **asked: Any) -> Object:
    change = {"type": "URLRewrite", "urlRewrite": asked}
    return to("orders", matches=[{"path": {"type": "PathPrefix", "value": prefix}}], filters=[change])


def replaced(prefix: str) -> Object:
    return {"type": "ReplacePrefixMatch", "replacePrefixMatch": prefix}


def headers(side: str, **change: Any) -> Object:
    for key in ("set", "add"):
        change[key] = [{"name": name, "value": value} for name, value in change.get(key, ())]
    return {"type": f"{side.capitalize()}HeaderModifier", f"{side}HeaderModifier": change}


def prefix(value: str, **match: Any) -> Object:
    return {"path": {"type": "PathPrefix", "value": value}, **match}


RULES: dict[str, list[Object]] = {
    "host": [redirect(hostname="new.example")],
    "https": [redirect(scheme="https")],
    "moved": [redirect(hostname="new.example", scheme="https", port=8443, statusCode=301)],
    "port": [redirect(port=8443)],
    "well-known": [redirect(port=80)],
    "paths": [
        redirect(path={"type": "ReplaceFullPath", "replaceFullPath": "/all"}) | {"matches": [prefix("/full")]},
        redirect(path=replaced("/new")) | {"matches": [prefix("/old")]},
        redirect(path=replaced("/")) | {"matches": [prefix("/gone")]},
    ],
    "root": [rewrite("/shop.x", path=replaced("/"))],
    "longer": [rewrite("/shop", path=replaced("/a/b"))],
    "slash": [rewrite("/shop/", path=replaced("/a/"))],
    "empty": [rewrite("/shop", path=replaced(""))],
    "below": [rewrite("/", path=replaced("/below"))],
    "same": [rewrite("/", path=replaced("/"))],
    "whole": [rewrite("/", hostname="inner", path={"type": "ReplaceFullPath", "replaceFullPath": r"/\1"})],
    "headers": [
        to("orders", filters=[
            headers("request", set=[("x-a", "set"), ("x-p", "100%"), ("X-A", "no")],
                    add=[("x-b", "%REQ(x-a)%"), ("X-B", "no"), ("x-n", "new")], remove=["X-Gone"]),
            headers("response", set=[("x-answer", "new")], add=[("x-more", "1%")], remove=["x-secret"]),
        ]),
    ],
    "authority": [to("orders", filters=[headers("request", set=[("Host", "inner")], remove=["host"])])],
    "backend": [{"backendRefs": [
        {"name": "orders", "port": 80, "filters": [headers("request", add=[("x-b", "1")])]},
        {"name": "v2", "port": 80, "filters": [headers("request", set=[("host", "two")])]},
    ]}],
    "zero": [to("orders:0", "v2:1")],
    "all-zero": [to("orders:0", "v2:0")],
    "nothing": [{"backendRefs": []}],
    "share": [to("orders", "missing")],
    "absent": [to("missing")],
    "foreign": [to("orders", filters=[{"type": "ExtensionRef", "extensionRef": {}}])],
    "copied": [to("orders", filters=[
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "copy", "port": 80}}}])],
    "total": [to("v2", timeouts={"request": "50ms"})],
    "each": [to("v2", timeouts={"backendRequest": "50ms"})],
    "unlimited": [to("orders", timeouts={"request": "0s"})],
    "matches": [
        to("orders", name="any", matches=[prefix("/")]),
        to("orders", name="regex", matches=[{"path": {"type": "RegularExpression", "value": "/v[0-9]+"}}]),
        to("orders", name="prefix", matches=[prefix("/a/")]),
        to("orders", name="exact", matches=[{"path": {"type": "Exact", "value": "/a/b"}}]),
        to("orders", name="method", matches=[prefix("/a", method="PUT")]),
        to("orders", name="header", matches=[prefix("/a", headers=[{"name": "X-A", "value": "1"}])]),
        to("orders", name="query", matches=[prefix("/a", queryParams=[{"name": "q", "value": "1"}])]),
        to("orders", name="header-regex", matches=[
            prefix("/a", headers=[{"name": "x-b", "type": "RegularExpression", "value": "[0-9]+"}])]),
    ],
}  # fmt: skip
for _rule in RULES["matches"]:
    _rule["filters"] = [headers("request", set=[("x-rule", _rule["name"])])]


@pytest.fixture(scope="module")
def routed(serve: Callable[[list[Object]], Routed]) -> Routed:
    found = []
    for name, rules in RULES.items():
        found += [samples.service(name, *TWO), samples.route(name, *rules, parent=name)]
    grpc = [
        to("missing", matches=[{"method": {"service": "a|b.C", "method": "D", "type": "RegularExpression"}}])
    ]
    grpc += [
        to("orders:1", "missing:0", matches=[{"method": {"service": "ok"}}]),
        to("missing:1", "missing:1"),
    ]
    found += [samples.service("calls"), samples.route("calls", *grpc, parent="calls", kind="GRPCRoute")]
    return serve(found)


@pytest.mark.parametrize(
    ("service", "port", "host", "location"),
    [
        # Neither a scheme nor a port is asked for: it stays at the Service's.
        ("host", 80, "host", "http://new.example/a?b=c"),
        ("host", 8080, "host:8080", "http://new.example:8080/a?b=c"),
        ("host", 8080, "host", "http://new.example:8080/a?b=c"),
        # A scheme brings its well-known port, which is not written.
        ("https", 80, "https", "https://https/a?b=c"),
        ("https", 80, "https:80", "https://https/a?b=c"),
        ("https", 8080, "https:8080", "https://https:443/a?b=c"),
        ("moved", 80, "moved", "https://new.example:8443/a?b=c"),
        ("port", 80, "port", "http://port:8443/a?b=c"),
        ("well-known", 80, "well-known", "http://well-known/a?b=c"),
        ("well-known", 8080, "well-known:8080", "http://well-known:80/a?b=c"),
    ],
)
def test_redirects_say_a_port_where_it_is_needed(
    routed: Routed, service: str, port: int, host: str, location: str
) -> None:
    answer = routed.get(service, "/a?b=c", port=port, host=host)
    assert answer.header("location") == [location]
    assert answer.status == (301 if service == "moved" else 302)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/full/x?q=1", "/all?q=1"),
        ("/old", "/new"),
        ("/old/tea?q=1", "/new/tea?q=1"),
        ("/gone", "/"),
        ("/gone/tea", "/tea"),
    ],
)
def test_redirects_change_paths(routed: Routed, path: str, location: str) -> None:
    assert routed.get("paths", path).header("location") == [f"http://paths{location}"]


def test_a_prefix_is_of_whole_elements(routed: Routed) -> None:
    assert routed.get("paths", "/older").status == 404
    assert routed.get("longer", "/shopping").status == 404


@pytest.mark.parametrize(
    ("service", "path", "inside"),
    [
        ("root", "/shop.x", "/"),
        ("root", "/shop.x/", "/"),
        ("root", "/shop.x/tea?q=%2F", "/tea?q=%2F"),
        ("root", "/shop.x?q=1", "/?q=1"),
        ("longer", "/shop", "/a/b"),
        ("longer", "/shop/", "/a/b/"),
        ("longer", "/shop/tea?q=1", "/a/b/tea?q=1"),
        ("slash", "/shop/tea", "/a/tea"),
        ("slash", "/shop", "/a"),
        ("empty", "/shop/tea", "/tea"),
        ("empty", "/shop", "/"),
        ("below", "/", "/below/"),
        ("below", "/tea?q=/", "/below/tea?q=/"),
        ("same", "/a//tea", "/a//tea"),
        ("whole", "/tea/x?q=1", r"/\1?q=1"),
    ],
)
def test_paths_are_rewritten(routed: Routed, service: str, path: str, inside: str) -> None:
    assert routed.get(service, path).seen["path"] == inside


def test_hosts_are_rewritten(routed: Routed) -> None:
    assert routed.get("whole").sent("host") == ["inner"]
    assert routed.get("authority").sent("host") == ["inner"]
    assert routed.get("same", host="mine").sent("host") == ["mine"]


def test_headers_are_set_added_and_removed(routed: Routed) -> None:
    answer = routed.get("headers", x_a="old", x_b="old", x_gone="old", x_stays="old")
    assert answer.sent("x-a") == ["set"]
    assert answer.sent("x-b") == ["old", "%REQ(x-a)%"]  # text; and of equal names the first counts
    assert answer.sent("x-p") == ["100%"]
    assert answer.sent("x-n") == ["new"]
    assert answer.sent("x-gone") == []
    assert answer.sent("x-stays") == ["old"]
    assert answer.header("x-answer") == ["new"]
    assert answer.header("x-more") == ["1%"]
    assert answer.header("x-secret") == []


def test_a_backends_own_headers(routed: Routed) -> None:
    seen = [routed.get("backend") for _ in range(12)]
    apps = {each.seen["app"]: each for each in seen}
    assert apps["orders"].sent("x-b") == ["1"]
    assert apps["orders"].sent("host") == ["backend"]
    assert apps["v2"].sent("x-b") == []
    assert apps["v2"].sent("host") == ["two"]


def test_a_weight_of_nothing_gets_nothing(routed: Routed) -> None:
    assert {routed.get("zero").seen["app"] for _ in range(8)} == {"v2"}


@pytest.mark.parametrize("service", ["all-zero", "nothing", "absent", "foreign"])
def test_without_a_backend_the_answer_is_500(routed: Routed, service: str) -> None:
    assert routed.get(service).status == 500


def test_the_share_of_a_backend_that_is_not_there_fails(routed: Routed) -> None:
    found = Counter(routed.get("share").status for _ in range(40))
    assert set(found) == {200, 500}  # never one of them in 40 throws of a coin: 1 in 10 ** 11


def test_a_mirror_gets_a_copy_and_nobody_waits_for_it(routed: Routed) -> None:
    assert routed.get("copied", "/slow?copy").seen["app"] == "orders"
    copy = routed.pods["copy"][0].seen.get(timeout=10)
    assert copy["path"] == "/slow?copy"
    assert ["host", "copied"] in copy["headers"]


@pytest.mark.parametrize("service", ["total", "each"])
def test_timeouts(routed: Routed, service: str) -> None:
    assert routed.get(service, "/slow").status == 504
    assert routed.get(service, "/fast").status == 200
    assert routed.get("unlimited").status == 200


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        ({"path": "/"}, "any"),
        ({"path": "/v12"}, "regex"),  # before the prefix of everything
        ({"path": "/v12/x"}, "any"),
        ({"path": "/a"}, "prefix"),
        ({"path": "/a/c"}, "prefix"),
        ({"path": "/a/b"}, "exact"),
        ({"path": "/a/b?q=1"}, "exact"),
        ({"path": "/a/c", "method": "PUT"}, "prefix"),  # the longer prefix is before a method
        ({"path": "/a/c?q=1"}, "prefix"),
        ({"path": "/ab"}, "any"),
    ],
)
def test_the_most_specific_match_wins(routed: Routed, request_: dict[str, str], rule: str) -> None:
    assert routed.get("matches", **request_).sent("x-rule") == [rule]


@pytest.mark.parametrize(
    ("path", "status"), [("/a/D", "14"), ("/b.C/D", "14"), ("/ok/Any", None), ("/other/Any", "14")]
)
def test_a_call_without_a_backend_is_unavailable(routed: Routed, path: str, status: str | None) -> None:
    answer = routed.get("calls", path, method="POST", content_type="application/grpc", content_length="0")
    assert answer.header("grpc-status") == ([status] if status else [])


def test_a_grpc_route_is_for_grpc_alone(routed: Routed) -> None:
    assert routed.get("calls", "/ok/Any").status == 404
