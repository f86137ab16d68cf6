"""Clusters over time: side by side, stopped and started again, with certificates near their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labsupport.cluster import get
from labsupport.cluster.embedded import holder, pki
from labsupport.cluster.embedded.backend import EmbeddedCluster
from labsupport.cluster.interface import Cluster


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedCluster]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = get("other")
    assert isinstance(made, EmbeddedCluster)
    yield made
    made.down()


def run(cluster: Cluster, *arguments: str) -> str:
    command = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_two_clusters_side_by_side(cluster: Cluster, other: EmbeddedCluster) -> None:
    other.up()
    run(other, "create", "namespace", "only-in-other")
    assert "only-in-other" not in run(cluster, "get", "namespaces")
    assert cluster.status().api != other.status().api


def test_up_again_finds_it(other: EmbeddedCluster) -> None:
    assert other.up().action == "created"
    assert other.up().action == "found"


@pytest.mark.parametrize("way", ["down --keep", "SIGTERM, as at a reboot"])
def test_data_and_workloads_are_kept(other: EmbeddedCluster, way: str) -> None:
    other.up()
    run(other, "create", "deployment", "web", "--image=labs.example/web:1")
    run(other, "rollout", "status", "deployment/web", "--timeout=30s")
    if way == "down --keep":
        other.down(keep=True)
    else:
        held = holder.find(other._directory)
        assert held
        os.kill(held.launcher, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while Path(f"/proc/{held.init}").exists():
            assert time.monotonic() < deadline
    assert not other.status().running
    report = json.loads((other.directory / "launcher.json").read_text()) if way != "down --keep" else {}
    assert report.get("code", 0) == 0
    assert other.up().action == "restarted"
    run(other, "rollout", "status", "deployment/web", "--timeout=30s")


def test_certificates_near_their_end_are_renewed_at_up(
    other: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.up()
    before = (other.directory / "pki/admin.crt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(pki, "RENEW_BEFORE", pki.LEAF_LIFE)
        assert other.up().action == "restarted"
    assert (other.directory / "pki/admin.crt").read_bytes() != before
    assert "node-1" in run(other, "get", "nodes")
