"""What is counted, without a proxy: quantiles, windows, where a report belongs, what is forgotten."""

from __future__ import annotations

import io
import json
import math
import queue
import random
from typing import Any

import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from envoy.service.accesslog.v3 import als_pb2

from labsupport.mesh.api import Name
from labsupport.mesh.telemetry import ledger as ledgers
from labsupport.mesh.telemetry import pages
from labsupport.mesh.telemetry.collect import Collector
from labsupport.mesh.telemetry.counts import Counts, Edge
from labsupport.mesh.telemetry.histogram import BOUNDS, SHOWN, index, quantile
from labsupport.mesh.telemetry.ledger import Ledger
from labsupport.mesh.telemetry.places import Places, Reporter, id_of
from labsupport.mesh.telemetry.tap import Filter, Tap, Taps, trace
from labsupport.mesh.telemetry.topology import owner, topology
from tests.mesh import samples
from tests.mesh.telemetry.conftest import CLIENT, SERVER, objects

EDGE = Edge("shop/web", "shop/orders", "shop/orders/80", "http", True)
ORDERS = Reporter(SERVER, "orders")
WEB = Reporter(CLIENT, "web")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_quantiles_are_wrong_by_no_more_than_a_bucket() -> None:
    source = random.Random(7)
    for median in (0.3, 5, 80, 2000):
        values = sorted(int(1000 * source.lognormvariate(math.log(median), 0.8)) for _ in range(20_000))
        histogram: dict[int, int] = {}
        for value in values:
            histogram[index(value)] = histogram.get(index(value), 0) + 1
        for share in (0.5, 0.9, 0.99):
            true = values[math.ceil(share * len(values)) - 1] / 1000
            assert quantile(histogram, share) == pytest.approx(true, rel=0.06)
    assert quantile({}, 0.5) is None
    assert quantile({len(BOUNDS): 3}, 0.99) == 100_000
    assert sorted(SHOWN) == list(SHOWN)
    assert [BOUNDS[each] for each in SHOWN[:4]] == [100, 250, 500, 1000]


def test_a_window_has_what_happened_in_it_and_totals_have_all() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    for _ in range(120):
        ledger.add(EDGE, Counts(requests=1, busy_us=500_000, latencies={10: 1}))
        clock.now += 1
    covered, found = ledger.window(60)
    ((edge, counts),) = found
    assert edge == EDGE
    assert 60 <= covered < 60 + ledgers.BUCKET
    assert counts.requests == counts.latencies[10] == covered
    assert ledger.edges[EDGE].total.requests == 120
    clock.now += 1000
    assert list(ledger.window(60)[1]) == []
    ledger.add(EDGE, Counts(requests=1))
    assert len(ledger.edges[EDGE].recent) == 1  # what is older than the longest window is gone
    covered, found = ledger.window(10_000)
    assert covered <= ledgers.KEPT + ledgers.BUCKET
    assert sum(counts.requests for _, counts in found) == 1


def test_a_young_control_plane_knows_how_long_it_has_looked() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    ledger.add(EDGE, Counts(requests=10))
    clock.now += 2
    (edge,) = topology(ledger, samples.model(*objects()), set(), 60)["edges"]
    assert edge["rate"] == 5.0


def test_what_lasts_is_forgotten_with_its_proxy_and_its_bytes_count_once() -> None:
    clock = Clock()
    ledger = Ledger(clock)
    tcp = EDGE._replace(protocol="tcp")
    ledger.lasting("a", tcp, 100, 10)
    ledger.lasting("a", tcp, 150, 10)
    assert ledger.lasts() == {tcp: 1}
    told, rest = ledger.ended("a", 160, 12)
    assert told
    ledger.add(tcp, rest)
    total = ledger.edges[tcp].total
    assert (total.bytes_out, total.bytes_in) == (160, 12)
    ledger.lasting("b", tcp)
    clock.now += ledgers.FORGET + 1
    assert ledger.lasts() == {}
    ledger.forget()
    assert ledger.open == {}


def test_there_is_an_end_to_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "MAX_EDGES", 2)
    ledger = Ledger()
    for number in range(3):
        ledger.add(EDGE._replace(source=f"shop/{number}"), Counts(requests=4))
    assert len(ledger.edges) == 2
    assert ledger.lost == 4


def test_what_a_client_says_it_calls_counts_where_it_can_be_so() -> None:
    places = Places(samples.model(*objects()))
    assert places.called(ORDERS, "80.orders.shop") == "shop/orders/80"
    for said in (
        "80.away.shop",
        "81.orders.shop",
        "80.orders.other",
        "orders",
        "80",
        "x.orders.shop",
        "a.b.c.d",
    ):
        assert places.called(ORDERS, said) == "", said
    assert places.called(WEB, "80.orders.shop") == ""  # another Pod's Service


def test_identities_of_the_mesh_are_nodes_and_nothing_else_is() -> None:
    assert id_of("spiffe://labs.example/ns/shop/sa/web") == "shop/web"
    for uri in ("spiffe://other.example/ns/shop/sa/web", "spiffe://labs.example/shop/web", "", "shop/sa/web"):
        assert id_of(uri) == "unknown"


@pytest.mark.parametrize(
    ("asked", "takes"),
    [
        ({}, True),
        ({"from": "shop/web"}, True),
        ({"from": "web", "to": "orders"}, True),
        ({"from": "eb"}, False),
        ({"to": "shop/"}, True),
        ({"to": "other/"}, False),
        ({"path": "/a"}, True),
        ({"path": "/b"}, False),
        ({"status": "404"}, True),
        ({"status": "4xx"}, True),
        ({"status": "5xx"}, False),
    ],
)
def test_filters(asked: dict[str, str], takes: bool) -> None:
    line = {"from": "shop/web", "to": "shop/orders", "path": "/a/b", "status": 404}
    assert Filter.of(asked).takes(line) == takes


def test_a_trace_is_read_from_the_context() -> None:
    assert (
        trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01") == "0af7651916cd43dd8448eb211c80319c"
    )
    assert trace("nonsense") == trace("") == trace("00-ab-cd-01") == ""


def entry(message: Any, code: int = 200, **fields: Any) -> Any:
    made = message.http_logs.log_entry.add()
    made.common_properties.access_log_type = 6  # DownstreamEnd
    made.common_properties.duration.nanos = 2_000_000
    made.response.response_code.value = code
    made.response.response_code_details = fields.get("details", "via_upstream")
    return made


def test_outcomes() -> None:
    collector = Collector(lambda: samples.model(*objects()))
    message = als_pb2.StreamAccessLogsMessage()
    entry(message, 404)
    entry(message, 502)
    entry(message, 0)
    entry(message, 403, details="rbac_access_denied_matched_policy[shop/deny/0]")
    entry(message, 403)  # of the application's own
    entry(message, 429).common_properties.response_flags.rate_limited = True
    entry(message, 503).common_properties.response_flags.upstream_overflow = True
    entry(message).response.response_trailers["grpc-status"] = "14"
    entry(message).response.response_trailers["grpc-status"] = "5"  # not found: the caller's fault
    shadow = entry(message).common_properties.metadata.filter_metadata["envoy.filters.http.rbac"]
    shadow.update({"deny_shadow_engine_result": "allowed", "allow_shadow_engine_result": "denied"})
    tap = collector.taps
    collector.take(ORDERS, False, message.SerializeToString())
    ((edge, history),) = collector.ledger.edges.items()
    total = history.total
    assert edge == Edge("unknown", "shop/orders", "", "http", False)
    assert (total.requests, collector.ledger.entries, collector.ledger.lost) == (10, 10, 0)
    assert total.classes == [1, 0, 2, 0, 4, 3]
    assert (total.errors, total.denied, total.would_deny, total.limited) == (4, 1, 1, 2)
    assert not tap.open


def test_a_report_that_cannot_be_read_is_counted_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector(lambda: samples.model(*objects()))

    def broken(*_: Any) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr(Collector, "_arrived", broken)
    message = als_pb2.StreamAccessLogsMessage()
    entry(message)
    entry(message, 500)
    collector.take(ORDERS, False, message.SerializeToString())
    assert (collector.ledger.entries, collector.ledger.lost) == (0, 2)


def test_a_long_request_is_in_flight_until_it_has_ended() -> None:
    collector = Collector(lambda: samples.model(*objects()))
    for kind, seconds, lasting in (("DownstreamPeriodic", 5, 1), ("DownstreamEnd", 6, 0)):
        message = als_pb2.StreamAccessLogsMessage()
        common = entry(message).common_properties
        common.access_log_type = accesslog_pb2.AccessLogType.Value(kind)
        common.duration.seconds, common.stream_id = seconds, "a"
        collector.take(ORDERS, False, message.SerializeToString())
        assert sum(collector.ledger.lasts().values()) == lasting
    assert [each.total.requests for each in collector.ledger.edges.values()] == [1]


def test_usual_requests_are_read_as_the_others_are() -> None:
    """The quick way and the whole one count the same, whatever is in a message."""
    rng, message = random.Random(8), als_pb2.StreamAccessLogsMessage()
    for _ in range(300):
        made = entry(message, rng.choice((0, 200, 200, 204, 301, 403, 404, 429, 500, 503)))
        common = made.common_properties
        common.duration.nanos, common.duration.seconds = rng.randrange(10**9), rng.choice((0, 0, 0, 7))
        if rng.random() < 0.9:
            tls = common.tls_properties
            tls.tls_sni_hostname = rng.choice(("80.orders.shop", "90.orders.shop", "nonsense", ""))
            tls.tls_session_id = str(rng.randrange(5))
            uri = f"spiffe://labs.example/ns/shop/sa/{rng.choice(('web', 'api'))}"
            tls.peer_certificate_properties.subject_alt_name.add(uri=uri)
        if rng.random() < 0.1:
            common.response_flags.upstream_overflow = True
        if rng.random() < 0.1:
            made.response.response_trailers["grpc-status"] = rng.choice("0514")
        if rng.random() < 0.2:
            said = rng.choice(("allowed", "denied"))
            held = common.metadata.filter_metadata["envoy.filters.http.rbac"]
            held.update({"allow_shadow_engine_result": said})
    quick, whole = (Collector(lambda: samples.model(*objects())) for _ in range(2))
    quick.take(ORDERS, False, message.SerializeToString())
    whole.taps.join(Tap())  # who looks on has them read whole
    whole.take(ORDERS, False, message.SerializeToString())
    assert sum(each.total.requests for each in quick.ledger.edges.values()) == 300
    assert len(quick.ledger.edges) >= 6
    for edge, history in whole.ledger.edges.items():
        assert quick.ledger.edges[edge].total == history.total, edge


def test_owners() -> None:
    deployed = samples.pod("web-7d4b9c-x2z9q", "10.244.0.1")
    deployed["metadata"]["labels"]["pod-template-hash"] = "7d4b9c"
    stateful = samples.pod("db-0", "10.244.0.2")
    stateful["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = "0"
    model = samples.model(deployed, stateful, samples.pod("alone", "10.244.0.3"))
    assert [owner(model.workloads[each]) for each in sorted(model.workloads)] == ["alone", "db", "web"]
    assert owner(model.workloads[Name("shop", "alone")]) == "alone"


def test_what_a_source_tells_of_a_proxy_that_was_reached_is_that_proxys_to_tell() -> None:
    """As where a Service has Pods without a proxy besides, or the source gave up waiting (response flag UT)."""
    collector = Collector(lambda: samples.model(*objects()))
    message = als_pb2.StreamAccessLogsMessage()
    for address, reached in (("10.244.0.11", True), ("10.244.0.11", False), ("10.244.0.99", True)):
        common = entry(message, 504).common_properties
        common.response_flags.upstream_request_timeout = True
        common.upstream_cluster = "shop/orders/80"
        common.upstream_remote_address.socket_address.address = address
        common.upstream_remote_address.socket_address.port_value = 8080
        if reached:
            common.upstream_local_address.socket_address.address = "10.244.0.12"
    collector.take(WEB, True, message.SerializeToString())
    counts = {edge: history.total.requests for edge, history in collector.ledger.edges.items()}
    # Not reached: the one that was chosen. Reached, and no proxy there: the Service's, and told by the source alone.
    assert counts == {Edge("shop/web", "shop/orders", "shop/orders/80", "http", False, "source"): 2}
    assert collector.ledger.entries == 3


def test_one_who_reads_too_slowly_is_told_how_much_was_left_out() -> None:
    line = {"from": "shop/web", "to": "shop/orders", "path": "/", "status": 200}
    tap = Tap(lines=queue.Queue(2))
    for _ in range(5):
        tap.show(line)
    assert (tap.lines.qsize(), tap.left_out) == (2, 3)
    out = io.BytesIO()

    class Late(Taps):
        def join(self, tap: Tap) -> None:
            tap.left_out, _ = 3, tap.show(line)

    pages.stream(Late(), "limit=1", out)
    said = [json.loads(each) for each in out.getvalue().split(b"\n") if each]
    assert said == [{"left_out": 3}, line]


def test_a_gateway_is_called_from_outside_and_pods_of_the_mesh_tell_themselves() -> None:
    """Else a call by one would be counted twice: by its own proxy, which knows by whom, and as a stranger's."""
    collector = Collector(lambda: samples.model(*objects(), *samples.edge()))
    message = als_pb2.StreamAccessLogsMessage()
    for address in ("192.0.2.7", "10.244.0.12", "192.0.2.8"):
        entry = message.http_logs.log_entry.add()
        entry.common_properties.access_log_type, entry.response.response_code.value = 6, 200
        entry.common_properties.downstream_direct_remote_address.socket_address.address = address
    collector.take(Reporter(samples.EDGE_POD, "edge-labs-mesh"), False, message.SerializeToString())
    ((edge, history),) = collector.ledger.edges.items()
    assert (edge.source, edge.target) == ("outside", "shop/edge-labs-mesh")
    assert history.total.requests == 2
