"""What /metrics says: to a real Prometheus that scrapes it, to its linter, and to the client library's parser."""

from __future__ import annotations

import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from labsupport.errors import LabsError
from labsupport.mesh.telemetry import expose, pages
from labsupport.mesh.telemetry.counts import Counts, Edge
from labsupport.mesh.telemetry.histogram import index
from labsupport.mesh.telemetry.ledger import Ledger
from tests.mesh.conftest import wait
from tests.mesh.telemetry import prometheus

WEB = Edge("shop/web", "shop/orders", "shop/orders/80", "http", True)


def request(milliseconds: float, code: int = 200) -> Counts:
    made = Counts(requests=1, errors=int(code >= 500), sum_us=int(milliseconds * 1000))
    made.classes[code // 100] = 1
    made.latencies[index(int(milliseconds * 1000))] = 1
    return made


@pytest.fixture
def ledger() -> Ledger:
    """90 fast requests and 10 slow ones, of which 5 failed; a TCP connection between the same two."""
    made = Ledger()
    for _ in range(90):
        made.add(WEB, request(2))
    for number in range(10):
        made.add(WEB, request(300, 503 if number < 5 else 200))
    made.add(WEB._replace(protocol="tcp"), Counts(connections=1, bytes_out=7, bytes_in=9))
    made.add(WEB._replace(source='odd"\\\n'), request(2))
    return made


@pytest.fixture
def port(ledger: Ledger) -> Iterator[int]:
    server = pages.metrics_server(lambda: expose.text(ledger, 3), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


def test_the_library_reads_it(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {each.name: each for each in text_string_to_metric_families(text)}
    counts = {
        (each.labels["source"], each.labels["code_class"]): each.value
        for each in families["mesh_requests"].samples
    }
    assert counts == {("shop/web", "2xx"): 95, ("shop/web", "5xx"): 5, ('odd"\\\n', "2xx"): 1}
    buckets = [
        (each.labels["le"], each.value)
        for each in families["mesh_request_duration_seconds"].samples
        if each.name.endswith("_bucket") and each.labels["source"] == "shop/web"
    ]
    assert ("0.001", 0) in buckets
    assert ("0.0025", 90) in buckets
    assert ("0.25", 90) in buckets
    assert buckets[-1] == ("+Inf", 100)
    assert [value for _, value in buckets] == sorted(value for _, value in buckets)
    # No series twice: Prometheus would refuse the whole scrape.
    for family in families.values():
        series = [(each.name, tuple(sorted(each.labels.items()))) for each in family.samples]
        assert len(series) == len(set(series)), family.name


@pytest.fixture(scope="module")
def programs() -> Path:
    try:
        return prometheus.programs()
    except LabsError as error:
        pytest.skip(f"no Prometheus here: {error.what}")


def test_a_real_prometheus_scrapes_it(programs: Path, ledger: Ledger, port: int, tmp_path: Path) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read()
    lint = subprocess.run(
        [programs / "promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (lint.returncode, lint.stderr.decode()) == (0, "")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        free = int(listening.getsockname()[1])
    with prometheus.running(programs, tmp_path, port, free) as scraping:
        sent = 'sum(mesh_requests_total{source="shop/web"})'
        wait(lambda: scraping.value('up{job="mesh"}') == 1, "a scrape")
        assert scraping.value(sent) == 100
        share = 'sum(mesh_requests_total{code_class="5xx"}) / sum(mesh_requests_total{source="shop/web"})'
        assert scraping.value(share) == pytest.approx(0.05)
        of = 'sum by (le) (mesh_request_duration_seconds_bucket{source="shop/web"})'
        assert scraping.value(f"histogram_quantile(0.5, {of})") == pytest.approx(0.002, rel=0.3)
        assert 0.25 < (scraping.value(f"histogram_quantile(0.99, {of})") or 0) <= 0.5
        assert scraping.value("mesh_bytes_in_total") == 9
        ledger.add(WEB, request(2))
        wait(lambda: scraping.value(sent) == 101, "the next scrape")
