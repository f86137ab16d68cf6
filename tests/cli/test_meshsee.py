"""`labs mesh top`, `tap`, `topology`: what a person reads."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from labsupport.cli import mesh as cli_mesh
from labsupport.cli import meshsee
from labsupport.draw.topology.data import as_dict
from labsupport.mesh.admin import see
from tests.draw import topologies

LINE = {
    "at": 1764500000.0,
    "from": "shop/web",
    "to": "shop/cart",
    "method": "GET",
    "path": "/stock/1",
    "status": 200,
    "ms": 2.13,
    "flags": "",
    "details": "via_upstream",
    "policy": "",
    "mtls": True,
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    seen: list[Any] = []
    monkeypatch.setattr(cli_mesh, "connect", lambda name: name)

    def topology(api: object, seconds: int) -> list[dict[str, Any]]:
        seen.append(seconds)
        return [as_dict(topologies.recorded())]

    def tap(api: object, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
        seen.append(wanted)
        yield from [LINE] * 5

    monkeypatch.setattr(see, "topology", topology)
    monkeypatch.setattr(see, "tap", tap)
    return seen


def run(*words: str) -> str:
    done = CliRunner().invoke(cli_mesh.mesh_command, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_request() -> None:
    clock = time.strftime("%H:%M:%S", time.localtime(1764500000))
    assert meshsee.tapped(LINE) == f"{clock}  shop/web -> shop/cart  GET /stock/1  200  2.1 ms"
    refused = {**LINE, "status": 403, "policy": "shop/cart/0", "details": "rbac_access_denied[shop/cart/0]"}
    assert meshsee.tapped(refused).endswith("403  2.1 ms  by shop/cart/0")
    audited = {**LINE, "would_deny": True}
    assert meshsee.tapped({**audited, "policy": "none"}).endswith("200  2.1 ms  would be refused")
    unlisted = {**refused, "policy": "none", "denied": True}
    assert meshsee.tapped(unlisted).endswith("403  2.1 ms  no policy allows it")
    assert meshsee.tapped({**audited, "policy": "shop/cart/0"}).endswith("would be refused  by shop/cart/0")
    broken = {**LINE, "status": 503, "flags": "UF", "details": "upstream_reset", "mtls": False}
    assert meshsee.tapped(broken).endswith("503  2.1 ms  plaintext  UF  upstream_reset")
    tcp = {**LINE, "method": "", "path": "", "status": 0}
    assert "shop/cart  tcp  2.1 ms" in meshsee.tapped(tcp)
    assert "7 more" in meshsee.tapped({"left_out": 7})


def test_a_path_cannot_steer_the_terminal() -> None:
    said = meshsee.tapped({**LINE, "path": "/\x1b]0;owned\x07\x9b2J\r\n"})
    assert not set("\x1b\x07\x9b\r\n") & set(said)


def test_tap_ends_after_its_limit(asked: list[Any]) -> None:
    said = run("tap", "--from", "web", "--status", "5xx", "--limit", "2", "--json")
    assert [json.loads(line) for line in said.splitlines()] == [LINE, LINE]
    assert asked == [{"from": "web", "to": "", "path": "", "status": "5xx", "limit": "2"}]


def test_top_without_a_terminal(asked: list[Any]) -> None:
    said = run("top", "--sort", "errors", "--seconds", "10").splitlines()
    assert said[0].startswith("Over the last 60 s: 5 nodes")
    assert said[2].split()[:4] == ["FROM", "TO", "RATE", "ERRORS"]
    assert said[3].split()[:2] == ["shop/web", "shop/inventory"]
    assert asked == [10]


def test_top_on_a_terminal() -> None:
    found = topologies.made(30)
    console = Console(width=160, record=True, force_terminal=True, file=io.StringIO())
    console.print(meshsee.live_table(found, "errors", 16))
    shown = console.export_text().splitlines()
    first = sorted(found.edges, key=lambda edge: -edge.error_share)[:9]
    assert sum("! " in line for line in shown) == sum(edge.trouble for edge in first) > 0
    assert "and 30 more" in shown[-1]
    assert len(shown) <= 16


def test_topology_in_words_and_as_data(asked: list[Any]) -> None:
    assert " !-> shop/inventory  20/s" in run("topology")
    assert json.loads(run("topology", "--json")) == json.loads(json.dumps(as_dict(topologies.recorded())))
