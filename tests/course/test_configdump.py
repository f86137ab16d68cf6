"""What an Envoy says of itself, read into a way that can be drawn. The answers are Envoy 1.40's, shortened."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.lessons import configdump
from labsupport.draw.proxymap import Cluster, Endpoint, Listener, proxymap

TYPE = "type.googleapis.com/envoy.admin.v3."


def dump(routes: list[dict[str, Any]], *, dynamic: bool = False) -> dict[str, Any]:
    config = {"name": "shop", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    manager = {"rds": {"route_config_name": "shop"}} if dynamic else {"route_config": {"name": "shop"}}
    listener = {
        "name": "ingress",
        "address": {"socket_address": {"address": "10.1.1.1", "port_value": 10000}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    clusters = [{"name": "web", "type": "EDS"}, {"name": "next", "type": "STRICT_DNS"}, {"name": "fixed"}]
    return {
        "configs": [
            {
                "@type": TYPE + "ClustersConfigDump",
                "static_clusters": [{"cluster": each} for each in clusters],
            },
            {"@type": TYPE + "ListenersConfigDump", "static_listeners": [{"listener": listener}]},
            {"@type": TYPE + "ScopedRoutesConfigDump"},
            {
                "@type": TYPE + "RoutesConfigDump",
                ("dynamic" if dynamic else "static") + "_route_configs": [{"route_config": config}],
            },
        ]
    }


STATUS = {
    "cluster_statuses": [
        {
            "name": "web",
            "host_statuses": [
                {
                    "address": {"socket_address": {"address": "10.244.0.4", "port_value": 8080}},
                    "stats": [{"name": "rq_total", "value": "14"}, {"name": "cx_connect_fail"}],
                    "health_status": {"eds_health_status": "HEALTHY"},
                }
            ],
        }
    ]
}
TO_WEB = {"match": {"prefix": "/"}, "route": {"cluster": "web"}}


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_parts_are_found_however_they_came(dynamic: bool) -> None:
    way = configdump.read(dump([TO_WEB], dynamic=dynamic), STATUS)
    assert way.listeners == (Listener("ingress", "10.1.1.1:10000", "shop"),)
    (routes,) = way.route_lists
    assert (routes.name, routes.source) == ("shop", "from a file" if dynamic else "static")
    assert [route.clusters for route in routes.routes] == [("web",)]
    by_name = {cluster.name: cluster for cluster in way.clusters}
    assert by_name["web"] == Cluster("web", "from a file", (Endpoint("10.244.0.4:8080", "HEALTHY", 14, 0),))
    assert "DNS" in by_name["next"].source
    assert by_name["fixed"].endpoints == ()


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"prefix": "/"}, "any path"),
        ({"prefix": "/a"}, "/a\u2026"),
        ({"path_separated_prefix": "/a"}, "/a and below"),
        ({"path": "/a"}, "exactly /a"),
        ({"safe_regex": {"regex": "/a+"}}, "path ~ /a+"),
        ({"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "1"}}]}, "any path, x = 1"),
        ({"prefix": "/", "headers": [{"name": "x", "present_match": True}]}, "any path, x is there"),
    ],
)
def test_matches_in_words(match: dict[str, Any], words: str) -> None:
    assert configdump.match_in_words(match) == words


def test_actions_in_words() -> None:
    own = {"match": {"prefix": "/"}, "direct_response": {"status": 404}}
    both = [{"name": "web", "weight": 9}, {"name": "next", "weight": 1}]
    split = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": both}, "timeout": "1s"}}
    (routes,) = configdump.read(dump([own, split]), STATUS).route_lists
    assert "the proxy itself, 404" in routes.routes[0].target
    assert routes.routes[1].clusters == ("web", "next")
    assert routes.routes[1].target == "9 parts to web, 1 parts to next, within 1s"


def test_the_picture_says_the_same_in_words_and_shows_what_is_missing() -> None:
    nowhere = {"match": {"path": "/x"}, "route": {"cluster": "nowhere"}}
    picture = proxymap(configdump.read(dump([nowhere, TO_WEB]), STATUS), title="A way")
    assert "10.244.0.4:8080: 14 requests" in picture.text
    assert "no such cluster: nowhere" in picture.text
    assert "no such cluster" in picture.svg
    assert (
        picture.svg.count("<path ") == 5
    )  # listener to 2 routes, routes to 2 clusters, cluster to its endpoint


def test_what_a_control_plane_sent_is_said_to_come_from_there() -> None:
    found = dump([TO_WEB], dynamic=True)
    clusters, listeners = found["configs"][0], found["configs"][1]
    clusters["dynamic_active_clusters"] = [
        {"cluster": {"name": "tea", "type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}}}}}
    ]
    (listener,) = listeners.pop("static_listeners")
    rds = listener["listener"]["filter_chains"][0]["filters"][0]["typed_config"]["rds"]
    rds["config_source"] = {"ads": {}}
    listeners["dynamic_listeners"] = [{"active_state": listener}]
    way = configdump.read(found, STATUS)
    assert way.route_lists[0].source == configdump.CONTROL_PLANE
    assert {each.name: each.source for each in way.clusters}["tea"] == configdump.CONTROL_PLANE


def test_an_empty_dump_is_an_empty_picture() -> None:
    assert proxymap(configdump.read({}, {}), title="Nothing").text == "Nothing"
