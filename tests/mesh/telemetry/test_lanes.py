"""The lanes that telemetry is measured with: real proxies on loopback, and the mesh's own configuration in them."""

from __future__ import annotations

import socket

from labsupport.cluster.meshbench import describe, lanes, telemetry
from labsupport.mesh.bench import lane as configuration
from labsupport.mesh.translate import inbound
from tests.mesh.conftest import wait

SEEN = {"header": {"key": "x-seen", "value": "%REQ(:SCHEME)% %REQ(X-FORWARDED-PROTO)%"}}


def test_a_lane_counts_each_request_and_the_application_is_asked_as_the_client_asked() -> None:
    """That the proxies say https to each other, by which they know each other, is none of its business."""
    with lanes.running() as runner:
        runner.change = _shown
        lane = runner.lane(configuration.model(telemetry=True), reports=True)
        connections = lanes.Connections(lane, 2)
        connections.send(50)
        with socket.create_connection(lane.address, timeout=10) as own:
            own.sendall(lanes.REQUEST)
            assert b"x-seen: http http\r\n" in own.recv(65536)
        edge = f"bench/client {configuration.TARGET} destination"
        wait(lambda: lane.counted()["edges"] == {edge: 101}, "all requests, and nobody else's report")
        assert lane.counted()["lost"] == 0
        assert all(seconds > 0 for seconds in lane.cpu().values())
        connections.close()


def _shown(made: configuration.Made) -> configuration.Made:
    """The server's proxy says what it has passed on."""
    for chain in made[0][0]["filter_chains"] if made[0][0]["name"] == inbound.INBOUND else ():
        for each in chain["filters"]:
            if routes := each["typed_config"].get("route_config"):
                routes["virtual_hosts"][0]["response_headers_to_add"] = [SEEN]
    return made


def test_a_share_is_of_the_same_rounds() -> None:
    """The second half of the time everything took twice as long: that is no cost of telemetry."""
    found = {
        name: [
            {"client": factor * slow, "server": slow, "control": 0.0} for slow in (100.0, 100.0, 200.0, 200.0)
        ]
        for name, factor in (("without", 1.0), ("again", 1.02), ("with", 1.2))
    }
    assert telemetry.shares(found, "with") == {
        "median": 0.1, "min": 0.1, "p50": 0.1, "p90": 0.1, "p99": 0.1, "max": 0.1
    }  # fmt: skip
    assert telemetry.shares(found, "again")["median"] == 0.01


def test_what_was_measured_is_told_with_its_error_and_the_load() -> None:
    share = {"median": 0.041, "min": 0.03, "max": 0.052}
    us = {name: dict.fromkeys(telemetry.PARTS, 1.5) for name in telemetry.LANES}
    cost = {"share": share, "error": share | {"median": -0.002}, "load": 3.2, "us": us}
    edges = dict.fromkeys(
        ("edges", "counted", "requests", "cpu_us", "rss_mb", "topology_ms", "late_p99_ms"), 7
    )
    said = describe({"telemetry": {"cost": cost, "exact": {"sent": 9, "counted": 9}, "edges": edges}})
    assert "telemetry's share of CPU" in said
    assert "+4.1% (+3.0% to +5.2%, load 3.2)" in said
    assert "-0.2%" in said
