"""`labs down` leaves no process, mount, namespace, device or file, also of a cluster with Pods and volumes in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labsupport.cluster import get, report
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import idmap, removal
from labsupport.cluster.interface import Cluster
from labsupport.errors import LabsError

from .machine import Belongings, belongings, left_of, surroundings
from .pods import pod, start

LABS = [sys.executable, "-m", "labsupport.cli"]
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
    its_own = "mkdir -p /tmp/its/own && touch /tmp/its/own/f && chmod 0 /tmp/its/own /tmp/its"
    kubectl("exec", "user", "--", "sh", "-c", its_own)


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


def interrupt_down(cluster: Cluster) -> None:
    """Ctrl-C when `labs down` begins to remove."""
    down = subprocess.Popen([*LABS, "down", "--name", cluster.name], stderr=subprocess.PIPE, text=True)
    directory = ClusterDirectory(cluster.name)
    while "removing" not in directory.read_record():
        assert down.poll() is None, down.communicate()
        time.sleep(0.01)
    down.send_signal(signal.SIGINT)
    _, said = down.communicate(timeout=30)
    assert down.returncode in (130, -signal.SIGINT), said
    assert "Traceback" not in said


@pytest.mark.skipif(idmap.for_this_user().kind != "subordinate", reason="this user has no subordinate ids")
def test_files_of_subordinate_ids_wait_for_who_may_remove_them(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher is killed, `down` interrupted, newuidmap taken away and given back; what is left is made anew."""
    volumes = Path("/tmp/hostpath_pv")
    before = surroundings(state, volumes)
    cluster = get("teardown")
    assert cluster.up().action == "created"
    try:
        fill(cluster)
        launcher = json.loads((cluster.directory / "launcher.json").read_text())["launcher"]["pid"]
        had = belongings(launcher)
        os.kill(launcher, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while left_of(had) != NOTHING:
            assert time.monotonic() < deadline, left_of(had)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(state))
            with pytest.raises(LabsError, match="was made with your subordinate ids") as refused:
                cluster.up()
            assert "apt-get install uidmap" in refused.value.fix
        interrupt_down(cluster)
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(state))
            for attempt in (cluster.down, cluster.down, cluster.up):
                with pytest.raises(LabsError, match="newuidmap: No such file") as refused:
                    attempt()
                assert f"sudo rm -r {cluster.directory}" in refused.value.fix
                assert refused.value.anchor == "ids"
            report.make("teardown", state / "report.tar.gz")
            (state / "report.tar.gz").unlink()
        assert cluster.up().action == "created"
    finally:
        cluster.down()
    cluster.down()
    assert surroundings(state, volumes) == before


@pytest.mark.skipif(idmap.for_this_user().kind != "subordinate", reason="this user has no subordinate ids")
def test_a_cluster_made_with_one_id_keeps_it(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = get("teardown")
    directory = ClusterDirectory("teardown")
    try:
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(state))
            cluster.up()
        cluster.down(keep=True)
        assert cluster.up().action == "restarted"
        made_with = removal.recorded_map(directory)
        assert made_with is not None
        assert made_with.kind == "single"
    finally:
        cluster.down()
    assert list(state.glob("labs/clusters/*")) == []


def test_down_without_a_cluster_is_quiet(state: Path) -> None:
    get("teardown").down()
    assert list(state.iterdir()) == []
