"""Spans of real proxies, as a collector gets them, and the trace context as the application gets it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from labsupport.mesh import api
from labsupport.mesh.api import Name, Tracing
from labsupport.mesh.translate import inbound, reports
from tests.mesh import samples
from tests.mesh.conftest import wait
from tests.mesh.telemetry.conftest import SERVER, Pair, objects

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
CLIENT_KIND, SERVER_KIND = 3, 2  # opentelemetry.proto.trace.v1.Span.SpanKind


def config(percent: float | None = None, collector: str = "shop/spans:4317") -> samples.Object:
    tracing: samples.Object = {
        "collector": collector,
        **({} if percent is None else {"samplePercent": percent}),
    }
    metadata = {"name": "mesh", "namespace": "labs-system"}
    return {"kind": "MeshConfig", "metadata": metadata, "spec": {"tracing": tracing}}


def seen(url: str, **headers: str) -> dict[str, str]:
    """The headers that the application got."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return dict(json.loads(answer.read())["headers"])


def test_without_tracing_the_context_passes_as_it_is(pair: Pair) -> None:
    said = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1", "baggage": "a=b"}
    found = seen(pair.url(), **said)
    assert said.items() <= found.items()
    assert "traceparent" not in seen(pair.url())


class TestSampled:
    @pytest.fixture
    def settings(self) -> list[samples.Object]:
        return [config(100)]

    def test_spans_of_both_sides_continue_the_callers_trace(self, pair: Pair) -> None:
        found = seen(pair.url("/a"), traceparent=f"00-{TRACE}-{PARENT}-01", tracestate="vendor=1")
        wait(lambda: len(pair.sink.spans) >= 2, "two spans")
        spans: dict[str, tuple[dict[str, str], Any]] = {
            each[0]["service.name"]: each for each in pair.sink.spans
        }
        (_, client), (of, server) = spans["web"], spans["orders"]
        assert (client.kind, server.kind) == (CLIENT_KIND, SERVER_KIND)
        assert client.trace_id.hex() == server.trace_id.hex() == TRACE
        assert client.parent_span_id.hex() == PARENT
        assert server.parent_span_id == client.span_id
        # The application goes on from the last span, with what others have put into the context.
        assert found["traceparent"] == f"00-{TRACE}-{server.span_id.hex()}-01"
        assert found["tracestate"] == "vendor=1"
        assert (of["k8s.pod.name"], of["service.namespace"]) == ("orders-1", "shop")
        assert client.start_time_unix_nano <= server.start_time_unix_nano <= server.end_time_unix_nano
        attributes = {each.key: each.value.string_value for each in server.attributes}
        assert attributes["http.status_code"] == "200"
        # Telemetry goes on beside it.
        pair.entries(1)
        assert pair.sink.edges()["shop/web", "shop/orders", "shop/orders/80"]["requests"] == 1

    def test_who_brings_no_context_gets_one(self, pair: Pair) -> None:
        found = seen(pair.url())
        wait(lambda: len(pair.sink.spans) >= 2, "two spans")
        assert {span.trace_id.hex() for _, span in pair.sink.spans} == {found["traceparent"].split("-")[1]}

    def test_what_the_caller_does_not_sample_is_not_sampled(self, pair: Pair) -> None:
        found = seen(pair.url(), traceparent=f"00-{TRACE}-{PARENT}-00")
        assert found["traceparent"].startswith(f"00-{TRACE}-")
        assert found["traceparent"].endswith("-00")
        seen(pair.url("/next"))
        wait(lambda: len(pair.sink.spans) >= 2, "the spans of the next request")
        assert TRACE not in {span.trace_id.hex() for _, span in pair.sink.spans}


def test_a_meshconfig_says_where_and_how_many() -> None:
    assert api.settings(config()).tracing == Tracing(Name("shop", "spans"), 4317, 10.0)
    assert api.settings(config(0.5)).tracing == Tracing(Name("shop", "spans"), 4317, 0.5)
    assert api.settings({"spec": {}}).tracing is None


def test_a_collector_that_cannot_be_used_is_left_out() -> None:
    """Envoy would refuse every listener that names a cluster it does not know."""
    assert reports.tracing(samples.model(*objects(), config()))
    for collector in ("shop/absent:4317", "shop/spans:4318", "shop/away:80"):
        assert reports.tracing(samples.model(*objects(), config(collector=collector))) == {}


def test_the_collectors_own_proxy_makes_no_spans() -> None:
    ports = {"name": "grpc", "port": 4317, "targetPort": 4317}
    own = samples.service("spans", ports, address="127.0.1.5", app="orders")
    model = samples.model(*objects(), config(), own)
    assert "tracing" not in json.dumps(inbound.listener(model, model.workloads[SERVER]))
    other = samples.model(*objects(), config())
    assert "tracing" in json.dumps(inbound.listener(other, other.workloads[SERVER]))
