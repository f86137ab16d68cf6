"""The rules of capture. What they do to packets is shown on a cluster."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from labsupport.mesh.proxy import capture


def chain(text: str, table: str, name: str) -> list[str]:
    part = text[text.index(f"table {table} labs_mesh {{\n") :]
    part = part[part.index(f"chain {name} {{") :]
    lines = [line.strip() for line in part[: part.index("\n  }\n")].splitlines()[1:]]
    return [line.partition(" comment ")[0] for line in lines]


def test_the_rules_of_a_pod_without_exceptions() -> None:
    text = capture.rules()
    assert chain(text, "ip", "out") == [
        "type nat hook output priority -100; policy accept;",
        "meta l4proto != tcp return",
        "meta mark 0x53a return",
        'meta mark 0x539 oifname "lo" ip daddr != 127.0.0.0/8 meta l4proto tcp redirect to :15006',
        "meta mark 0x539 return",
        'oifname "lo" return',
        "meta l4proto tcp redirect to :15001",
    ]
    assert "tcp dport { 15020, 15021, 15090 } return" in text
    assert text.rstrip().endswith("}")


def test_excluded_ports_come_after_the_proxys_own_rules() -> None:
    text = capture.rules([9000, 22, 9000], [5432])
    assert "tcp dport { 22, 9000, 15020, 15021, 15090 } return" in text
    out = chain(text, "ip", "out")
    assert out.index("tcp dport { 5432 } return") == len(out) - 2


def test_ipv6_does_not_slip_past() -> None:
    text = capture.rules()
    for name in ("out", "in"):
        assert chain(text, "ip6", name)[-1] == "meta l4proto tcp drop"


def test_a_second_run_replaces_the_first() -> None:
    lines = capture.rules().splitlines()
    for family in ("ip", "ip6"):
        at = lines.index(
            f"table {family} labs_mesh {{}}"
        )  # made, in case there is none, so that it can be deleted
        assert lines[at + 1 : at + 3] == [
            f"delete table {family} labs_mesh",
            f"table {family} labs_mesh {{",
        ]


@pytest.mark.parametrize(("text", "found"), [("", []), ("80", [80]), (" 1, 65535,", [1, 65535])])
def test_ports(text: str, found: list[int]) -> None:
    assert capture.ports(text) == found


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "80;81", "80 81", "٣", "1.5"])
def test_what_is_no_port_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is no port: a number from 1 to 65535"):
        capture.ports(text)


def test_main_tells_nft_all_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[Any] = []

    def run(command: list[str], input: str, text: bool) -> subprocess.CompletedProcess[str]:
        ran.append((command, input))
        return subprocess.CompletedProcess(command, len(ran) - 1)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setenv("MESH_EXCLUDE_INBOUND", "9000")
    monkeypatch.setenv("MESH_EXCLUDE_OUTBOUND", "5432")
    assert capture.main() == 0
    assert ran == [(["nft", "-f", "-"], capture.rules([9000], [5432]))]
    assert capture.main() == 1
    assert "must not start" in capsys.readouterr().err
    monkeypatch.setenv("MESH_EXCLUDE_OUTBOUND", "all")
    assert capture.main() == 1
    assert "MESH_EXCLUDE_OUTBOUND: 'all' is no port" in capsys.readouterr().err
    assert len(ran) == 2
