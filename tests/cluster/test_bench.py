"""The measurement's arithmetic and its care for the learner's cluster; the measuring itself needs a cluster."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from labsupport import kube, paths
from labsupport.cluster import bench
from labsupport.errors import LabsError

RESULT = bench.Result(
    backend="embedded",
    up_s=(5.0, 4.0, 6.0),
    restart_s=(3.0, 3.5, 2.5),
    down_s=(1.0, 1.1, 1.2),
    pod_ready_s=tuple(0.40 + number / 100 for number in range(11)),
    together_s=(1.5, 2.25),
    pss_mb=700.04,
    idle_cpu_percent=4.257,
    machine={"processors": 2, "kernel": "6.1", "root": False, "load_before": [0.1, 0.2, 0.3]},
)


def test_the_json_form_has_the_promised_keys() -> None:
    measured = RESULT.as_dict()["backends"]["embedded"]
    assert measured["up_s"] == [5.0, 4.0, 6.0]
    assert measured["restart_s"] == [3.0, 3.5, 2.5]
    assert measured["pod_ready_s"] == {"p50": 0.45, "p90": 0.49, "count": 11}
    assert measured["pods_at_once_s"] == {"p50": 1.875, "all": 2.25, "count": 2}
    assert (measured["pss_mb"], measured["idle_cpu_percent"]) == (700.0, 4.26)


def test_one_value_is_its_own_median() -> None:
    assert bench.spread([2.0]) == {"p50": 2.0, "p90": 2.0}


def test_the_human_form_gives_medians_and_spreads() -> None:
    other = dataclasses.replace(RESULT, backend="kind", up_s=(30.0, 31.0, 32.0))
    text = bench.describe([RESULT, other])
    assert re.search(r"EMBEDDED +KIND$", text, re.MULTILINE)
    assert re.search(r"^up.* 5\.00 s \(4\.00 to 6\.00\) +31\.00 s \(30\.00 to 32\.00\)$", text, re.MULTILINE)
    assert "Medians of 3 runs" in text
    assert "ordinary user" in text
    assert set(bench.as_dict([RESULT, other])["backends"]) == {"embedded", "kind"}


def test_the_state_is_its_own_and_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with bench.own_state() as place:
        assert paths.state_location().is_relative_to(place)
        assert place.parent == tmp_path
        (place / "something").touch()
    assert os.environ["XDG_STATE_HOME"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_state_is_put_back_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), bench.own_state():
        raise KeyboardInterrupt
    assert os.environ["XDG_STATE_HOME"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def pod(name: str, ready: str) -> dict[str, object]:
    conditions = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}]
    return {"type": "MODIFIED", "object": {"metadata": {"name": name}, "status": {"conditions": conditions}}}


def test_ready_is_noted_once_and_only_when_ready() -> None:
    watcher = bench.Watcher()
    watcher.see({"type": "ADDED", "object": {"metadata": {"name": "a"}, "status": {}}})
    watcher.see(pod("a", "False"))
    before = time.monotonic()
    threading.Timer(0.02, watcher.see, [pod("a", "True")]).start()
    first = watcher.ready_at("a")
    assert first >= before
    watcher.see(pod("a", "True"))
    assert watcher.ready_at("a") == first


def test_a_pod_that_does_not_come_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "POD_SECONDS", 0.01)
    with pytest.raises(LabsError, match="not Ready"):
        bench.Watcher().ready_at("a")
    watcher = bench.Watcher()
    watcher.end("connection lost")
    with pytest.raises(LabsError, match="connection lost"):
        watcher.ready_at("a")


def test_cpu_time_counts_children_that_ended() -> None:
    times = SimpleNamespace(user=1.0, system=0.5, children_user=0.25, children_system=0.25)
    assert bench.cpu_seconds([SimpleNamespace(cpu_times=lambda: times)]) == 2.0


def test_the_measured_pod_is_the_smallest() -> None:
    (manifest,) = kube.load(bench.MANIFEST)
    key, value = bench.LABELS.split("=")
    assert manifest["metadata"]["labels"][key] == value
    assert len(manifest["spec"]["containers"]) == 1


def test_the_cluster_is_ended_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    calls: list[str] = []

    def up() -> None:
        calls.append("up")
        raise KeyboardInterrupt

    fake = SimpleNamespace(up=up, down=lambda **_: calls.append("down"), backend="embedded")
    monkeypatch.setattr("labsupport.cluster.get", lambda name, backend: fake)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(1)
    assert calls == ["up", "down"]
