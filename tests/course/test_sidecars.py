"""What lab M3 shows of sidecars: the parts that need no cluster."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.lessons import sidecars


def pod(*init: str, own: str = "app") -> dict[str, Any]:
    return {
        "metadata": {"name": "x"},
        "spec": {"initContainers": [{"name": each} for each in init], "containers": [{"name": own}]},
    }


def test_a_sidecar_is_looked_for_among_the_init_containers_too() -> None:
    assert sidecars.containers_of(pod("mesh-capture", "mesh-proxy")) == ["mesh-capture", "mesh-proxy", "app"]
    assert sidecars.has_proxy(pod("mesh-capture", "mesh-proxy"))
    assert not sidecars.has_proxy({"metadata": {}, "spec": {"containers": [{"name": "app"}]}})


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("spiffe://labs.example/ns/a/sa/b", "+"), ("plaintext", "-"), ("failed: refused", "x")],
)
def test_each_request_has_a_sign(said: str, wanted: str) -> None:
    assert sidecars.sign(said) == wanted


def test_a_strip_shows_the_worst_of_each_stretch_and_gaps() -> None:
    asked = [(10.0, "spiffe://a"), (10.1, "failed: no"), (10.3, "plaintext"), (10.9, "spiffe://a")]
    assert sidecars.strip(asked, 10.0) == "x-  +"
    assert sidecars.strip([], 10.0) == ""


def test_requests_are_counted_before_and_after_the_kill() -> None:
    asked = [(1.0, "spiffe://a"), (2.0, "failed: no"), (3.0, "spiffe://a"), (4.0, "failed: no")]
    assert sidecars.counts(asked, 2.0) == ("1 +", "1 +, 2 x")
    assert sidecars.counts([], 2.0) == ("none", "none")


def test_the_caller_is_read_from_what_the_ledger_wrote_down() -> None:
    text = "RequestHeader=X-Forwarded-Client-Cert:By=spiffe://d/ns/a/sa/x;Hash=1;URI=spiffe://d/ns/a/sa/b\nHost=x"
    assert sidecars._identity(text) == "spiffe://d/ns/a/sa/b"
    assert sidecars._identity("Host=x") == ""
    assert "plaintext" in str(sidecars.Asked(""))
    assert str(sidecars.Asked("", "refused")) == "no answer: refused"


def test_where_connections_came_out_is_read_from_who_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "box": '[["box", 15001], ["peer", 8080], ["box", 15006]]',
        "peer": '[["box", 15006], ["box", 7000]]',
    }
    monkeypatch.setattr(sidecars, "execute", lambda api, namespace, pod, command, timeout: answers[pod])
    world: Any = type("World", (), {"api": None, "namespace": "n"})()
    made = [
        sidecars.connection("10.0.0.1", "inside", "10.0.0.2", 8080),
        sidecars.connection("10.0.0.1", "outside", "10.0.0.1", 8080),
        sidecars.connection("10.0.0.1", "inside", "10.0.0.2", 8080, mark=0x539),
        sidecars.connection("10.0.0.1", "outside", "10.0.0.1", 7000),
        sidecars.connection("10.0.0.1", "inside", "10.0.0.1", 8080, mark=0x539),
    ]
    assert sidecars.kernel(world, made) == [15001, 15006, None, None, 15006]
    assert "its own address" in sidecars.told(made[4])
    assert "mark 0x539" in sidecars.told(made[4])
