"""kube-proxy's rules, as a real one wrote them: ClientIP affinity, node ports, an orphaned address, no endpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labsupport.course.lessons import rules
from labsupport.errors import LabsError

DOCUMENT = json.loads((Path(__file__).parent / "data" / "kube-proxy.json").read_text())
WAYS = rules.parse(DOCUMENT)


def way(part: str, *, map_: str = "service-ips") -> rules.Way:
    (found,) = [each for each in WAYS if each.map == map_ and part in each.chain]
    return found


def test_lots_are_drawn_evenly_among_the_endpoints() -> None:
    web = way("/web/")
    assert (web.lots, web.sticky, web.port) == (2, False, 80)
    assert {target.address for target in web.targets} == {"10.244.0.9", "10.244.0.10"}
    assert [target.share for target in web.targets] == [0.5, 0.5]


def test_one_endpoint_needs_no_lot() -> None:
    payments = way("/payments/")
    assert payments.lots == 1
    assert payments.targets == (rules.Target("10.244.0.8", 8080, 1.0),)


def test_remembered_callers_do_not_change_what_the_others_get() -> None:
    inventory = way("/inventory/")
    assert inventory.sticky
    assert inventory.lots == 3
    assert [round(target.share, 3) for target in inventory.targets] == [0.333] * 3


def test_an_address_of_no_pod_gets_its_share() -> None:
    assert rules.Target("192.0.2.7", 8080, 0.5) in way("/orders/").targets


def test_node_ports_lead_to_the_same_places() -> None:
    outside = way("/web/", map_="service-nodeports")
    assert outside.address == ""
    assert {target.address for target in outside.targets} == {"10.244.0.9", "10.244.0.10"}


def test_no_endpoints_are_refused() -> None:
    (ledger,) = [each for each in WAYS if each.map == "no-endpoint-services"]
    assert ledger.refuses
    assert "reject" in str(rules.draw("ledger", (ledger,), {}))


def test_ways_of_a_service_are_found_by_address_and_node_port() -> None:
    web, outside = way("/web/"), way("/web/", map_="service-nodeports")
    service = {"spec": {"clusterIP": web.address, "ports": [{"nodePort": outside.port}]}}
    assert set(rules.ways_of(service, WAYS)) == {web, outside}
    assert rules.ways_of({"spec": {"clusterIP": "None"}}, WAYS) == ()


def test_the_picture_says_in_words_what_it_shows() -> None:
    shown = rules.draw("orders", (way("/orders/"),), {"10.244.0.6": "orders-1"})
    assert "50 % -> 10.244.0.6:8080 (orders-1)" in shown.text
    assert "192.0.2.7:8080 (no Pod of this namespace)" in shown.text
    assert "numgen random mod 2" in shown.svg


def test_a_circle_is_noticed() -> None:
    circle = {"rule": {"chain": "service-a", "expr": [{"goto": {"target": "service-a"}}]}}
    entry = {
        "map": {
            "name": "service-ips",
            "elem": [[{"concat": ["10.0.0.1", "tcp", 80]}, {"goto": {"target": "service-a"}}]],
        }
    }
    with pytest.raises(LabsError, match="circle"):
        rules.parse({"nftables": [circle, entry]})
