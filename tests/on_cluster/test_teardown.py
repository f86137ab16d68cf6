"""`labs down` leaves no process, mount, namespace, device or file, also of a cluster with Pods and volumes in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from labsupport.cluster import get
from labsupport.cluster.interface import Cluster

from .machine import Belongings, belongings, left_of, surroundings
from .pods import pod, start

NOTHING = Belongings(frozenset(), frozenset())
CLAIM = {
    "apiVersion": "v1",
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(path))
    return path


def fill(cluster: Cluster) -> None:
    """Pods that write everywhere they may, with directories that nobody may search."""

    def kubectl(*arguments: str, input: str = "") -> None:
        program = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig)]
        subprocess.run([*program, *arguments], input=input, text=True, check=True, capture_output=True)

    closed = "/data/closed /closed"
    writes = f"mkdir -p {closed} && touch /data/closed/f /closed/f && chmod 0 {closed}; exec sleep 1000"
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    container = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    start(
        kubectl,
        "default",
        CLAIM,
        pod("filler", command=["sh", "-c", writes], volumes=volumes, container=container),
    )
    start(kubectl, "default", pod("user", securityContext={"runAsUser": 1234, "fsGroup": 99}))


@pytest.mark.parametrize("kept_first", [False, True])
def test_nothing_is_left(state: Path, kept_first: bool) -> None:
    volumes = Path("/tmp/hostpath_pv")
    before = surroundings(state, volumes)
    cluster = get("teardown")
    cluster.up()
    try:
        fill(cluster)
        launcher = json.loads((cluster.directory / "launcher.json").read_text())["launcher"]["pid"]
        had = belongings(launcher)
        assert len(had.processes) > 10
        assert {"user", "mnt", "pid", "net", "uts", "ipc", "cgroup"} <= {
            name.split(":")[0] for name in had.namespaces
        }
        if kept_first:
            cluster.down(keep=True)
            assert left_of(had) == NOTHING
            assert (cluster.directory / "node/var/lib/etcd").is_dir()
    finally:
        cluster.down()
    assert left_of(had) == NOTHING
    assert surroundings(state, volumes) == before


def test_down_without_a_cluster_is_quiet(state: Path) -> None:
    get("teardown").down()
    assert list(state.iterdir()) == []
