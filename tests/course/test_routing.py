"""Where a request goes: by the objects, and by a snapshot as Envoy would read it."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest

from labsupport.course.lessons import routing
from labsupport.course.lessons.routing import Asked, Objects, Refused
from labsupport.mesh.translate import matches

HALF = Fraction(1, 2)
SERVICES, SLICES = routing.world(["web", "tea"])
WEB = {("10.8.0.1", 8080): HALF, ("10.8.0.2", 8080): HALF}
TEA = {("10.8.1.1", 8080): HALF, ("10.8.1.2", 8080): HALF}


def _asked(*rules: Any, path: str = "/", headers: dict[str, str] | None = None) -> routing.Shares:
    objects = Objects(SERVICES, SLICES, [routing.route("r", "web", *rules)] if rules else [])
    return routing.by_objects(objects, Asked("web", path, headers or {}))


def test_without_routes_requests_go_to_the_service_itself() -> None:
    assert _asked() == WEB


def test_the_most_special_match_wins_whatever_the_order() -> None:
    rules = [
        routing.rule(("web", None)),
        routing.rule(("tea", None), paths=[("PathPrefix", "/a/")]),
        routing.rule(("web", None), paths=[("Exact", "/a/b")]),
    ]
    assert _asked(*rules, path="/a") == TEA
    assert _asked(*rules, path="/a/b") == WEB
    assert _asked(*rules, path="/ab") == WEB


def test_the_order_of_matches_is_that_of_the_mesh() -> None:
    paths = [
        ("Exact", "/a"),
        ("PathPrefix", "/a/b"),
        ("PathPrefix", "/a"),
        ("RegularExpression", "/a/b/.*"),
        ("RegularExpression", "/.*"),
        ("PathPrefix", "/"),
    ]
    found = [
        {"path": {"type": kind, "value": value}, "headers": headers}
        for kind, value in paths
        for headers in ([{"name": "x", "value": "1"}], [])
    ]
    mixed = random.Random(4).sample(found, len(found))
    assert sorted(mixed, key=routing._order) == found
    assert sorted(mixed, key=lambda each: matches.read("HTTPRoute", each).order) == found


def test_a_request_that_no_rule_is_for_is_not_found() -> None:
    assert _asked(routing.rule(("tea", None), paths=[("Exact", "/a")])) == {404: 1}


@pytest.mark.parametrize("backends", [[("gone", None)], [("web", 0)], []])
def test_a_rule_with_nobody_to_ask_is_an_error(backends: list[Any]) -> None:
    assert _asked(routing.rule(*backends)) == {500: 1}


def test_weights_are_shared_out() -> None:
    found = _asked(routing.rule(("web", 3), ("tea", None)))
    assert found["10.8.0.1", 8080] == Fraction(3, 8)
    assert found["10.8.1.1", 8080] == Fraction(1, 8)


def test_a_snapshot_is_read_as_envoy_does() -> None:
    assert routing.by_snapshot(_state(), Asked("web", "/next/a")) == {("10.8.1.1", 8080): 1}
    assert routing.by_snapshot(_state(), Asked("web", "/nextdoor")) == {503: 1}
    assert routing.by_snapshot(_state(), Asked("other", "/")) == {404: 1}


def test_what_envoy_would_refuse_or_wait_for_is_refused() -> None:
    routing.examine(_state())
    slash = _state(match={"path_separated_prefix": "/next/"})
    waits = _state()
    waits["endpoints"] = {}
    unheard = _state()
    unheard["routes"] = {}
    for state, finding in ((slash, "refused"), (waits, "warming"), (unheard, "no-routes")):
        with pytest.raises(Refused) as caught:
            routing.examine(state)
        assert caught.value.finding == finding


def _state(match: dict[str, Any] | None = None) -> dict[str, Any]:
    socket = {"socket_address": {"address": "10.8.1.1", "port_value": 8080}}
    manager = {"typed_config": {"rds": {"route_config_name": "shop"}}}
    entries = [
        {"match": match or {"path_separated_prefix": "/next"}, "route": {"cluster": "tea"}},
        {"match": {"prefix": "/"}, "route": {"cluster": "nowhere"}},
    ]
    return {
        "listeners": {
            "shop": {
                "address": {"socket_address": {"address": "0.0.0.0", "port_value": 10000}},  # noqa: S104
                "filter_chains": [{"filters": [manager]}],
            }
        },
        "clusters": {"tea": {"name": "tea", "type": "EDS"}},
        "endpoints": {"tea": {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket}}]}]}},
        "routes": {"shop": {"virtual_hosts": [{"name": "web", "domains": ["web"], "routes": entries}]}},
    }
