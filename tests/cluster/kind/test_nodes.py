"""Nodes of a kind cluster, with a stand-in for Docker that knows three containers and their packet rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from labsupport import kube
from labsupport.cluster.kind import backend, docker, nodes, volumes
from labsupport.errors import LabsError

DOCKER = r"""#!/bin/sh
echo "$*" >>"$FAKE/log"
case $1 in
version) echo 28.2.2 ;;
ps) cat "$FAKE/ids" ;;
inspect) cat "$FAKE/inspect" ;;
exec) case "$*" in
    *PREROUTING\ -i\ eth0*) [ -e "$FAKE/cut-$2" ] ;;
    esac ;;
run) [ ! -e "$FAKE/bare" ] || { echo "no such image" >&2; exit 1; } ;;
esac
"""
NAMES = (
    "labs-x-worker2",
    "labs-x-worker",
    "labs-x-control-plane",
)  # the newest first, as `docker ps` has them


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(docker.PROVIDER, raising=False)
    monkeypatch.setattr(backend.confine, "keep_services_inside", lambda *_: None)
    monkeypatch.setattr(nodes, "wait_until_ready", lambda *_: None)
    monkeypatch.setattr(kube, "connect", lambda *_: None)
    return tmp_path


@pytest.fixture
def cluster(place: Path) -> backend.KindCluster:
    """One of three nodes that an earlier `up` made, all running."""
    made = backend.KindCluster("x")
    made._directory.make()
    made._directory.update_record(backend="kind", kind="labs-x", ready_once=True, nodes=3, image="node:1")
    containers(place, made)
    return made


def containers(place: Path, cluster: backend.KindCluster, *stopped: str) -> None:
    """Let Docker have the three containers, of which `stopped` do not run."""
    (place / "ids").write_text("".join(f"id-{name}\n" for name in NAMES))
    entries = [
        {
            "Id": f"id-{name}",
            "Name": f"/{name}",
            "State": {"Running": name not in stopped, "Pid": 0, "StartedAt": "2026-11-24T10:00:00Z"},
            "Config": {"Labels": {docker.ROLE_LABEL: name.removeprefix("labs-x-").rstrip("2")}},
            "Mounts": [{"Source": str(cluster.directory / "owner"), "Destination": backend.MARK}],
        }
        for name in NAMES
    ]
    (place / "inspect").write_text(json.dumps(entries))


def done(place: Path, *verbs: str) -> list[str]:
    return [line for line in (place / "log").read_text().splitlines() if line.split()[0] in verbs]


def states(cluster: backend.KindCluster) -> dict[str, str]:
    engine = docker.find()
    found = docker.nodes(engine, "labs-x", backend.MARK)
    return nodes.states(engine, found, cluster._directory)


def test_kind_is_told_of_workers_beside_the_control_plane(place: Path) -> None:
    made = yaml.safe_load(backend.KindCluster("x").configuration("node:1", "", 3))["nodes"]
    assert [each["role"] for each in made] == ["control-plane", "worker", "worker"]
    assert {each["image"] for each in made} == {"node:1"}
    assert all(len(each["extraMounts"]) == 2 for each in made)


@pytest.mark.parametrize(
    ("recorded", "asked", "count"), [(None, None, 1), (None, 3, 3), (3, None, 3), (3, 3, 3), (1, 1, 1)]
)
def test_how_many_nodes(recorded: int | None, asked: int | None, count: int) -> None:
    assert nodes.wanted_count(recorded, asked, "x") == count


@pytest.mark.parametrize(("recorded", "asked"), [(1, 3), (3, 1), (None, 0), (None, 10)])
def test_numbers_that_cannot_be_had(recorded: int | None, asked: int) -> None:
    with pytest.raises(LabsError) as refused:
        nodes.wanted_count(recorded, asked, "x")
    assert refused.value.fix


def test_another_number_than_there_is_changes_nothing(place: Path, cluster: backend.KindCluster) -> None:
    with pytest.raises(LabsError, match="has 3 nodes, and kind can neither add nor remove") as refused:
        backend.KindCluster("x", count=2).up()
    assert "labs down --name x" in refused.value.fix
    assert not done(place, "start", "rm", "stop")


def test_the_control_plane_comes_first(cluster: backend.KindCluster) -> None:
    assert [*states(cluster)] == ["labs-x-control-plane", "labs-x-worker", "labs-x-worker2"]


def test_what_was_stopped_on_purpose_is_told_from_what_ended(
    place: Path, cluster: backend.KindCluster
) -> None:
    cluster.command_node("stop", "labs-x-worker")
    assert done(place, "stop") == ["stop --time 0 id-labs-x-worker"]
    containers(place, cluster, "labs-x-worker", "labs-x-worker2")
    assert list(states(cluster).values()) == ["running", "stopped", "ended"]
    cluster.command_node("start", "labs-x-worker")
    assert done(place, "start") == ["start id-labs-x-worker"]
    assert list(states(cluster).values()) == ["running", "ended", "ended"]


def test_cut_off_and_connected_again(place: Path, cluster: backend.KindCluster) -> None:
    cluster.command_node("partition", "labs-x-worker2")
    assert (place / "log").read_text().endswith(" cut\n")
    (place / "cut-labs-x-worker2").touch()
    assert list(states(cluster).values()) == ["running", "running", "partitioned"]
    (told,) = nodes.out_on_purpose(states(cluster))
    assert "labs node heal labs-x-worker2" in told
    cluster.command_node("heal", "labs-x-worker2")
    assert "\n heal\n" in (place / "log").read_text()


def test_a_node_that_does_not_run_cannot_be_cut_off(place: Path, cluster: backend.KindCluster) -> None:
    containers(place, cluster, "labs-x-worker")
    with pytest.raises(LabsError, match="does not run"):
        cluster.command_node("partition", "labs-x-worker")


@pytest.mark.parametrize(
    ("name", "complaint"), [("labs-x-control-plane", "cannot stop it"), ("node-2", "no node 'node-2'")]
)
def test_nodes_that_nothing_is_done_to(cluster: backend.KindCluster, name: str, complaint: str) -> None:
    with pytest.raises(LabsError, match=complaint) as refused:
        cluster.command_node("stop", name)
    assert refused.value.fix


def test_nothing_is_done_to_nodes_of_a_cluster_that_does_not_run(
    place: Path, cluster: backend.KindCluster
) -> None:
    containers(place, cluster, *NAMES)
    with pytest.raises(LabsError, match="is not running"):
        cluster.command_node("start", "labs-x-worker")


def test_after_down_keep_the_next_up_brings_all(cluster: backend.KindCluster) -> None:
    cluster.command_node("stop", "labs-x-worker")
    cluster.down(keep=True)
    assert nodes.stopped_on_purpose(cluster._directory) == frozenset()


def test_volumes_of_others_are_removed_by_a_container(
    place: Path, cluster: backend.KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes.os, "geteuid", lambda: 1000)
    volumes.make(cluster._directory)
    (volumes.on_the_host(cluster._directory) / "pvc").mkdir()
    (place / "bare").touch()
    with pytest.raises(LabsError, match="cannot be removed") as refused:
        cluster.down()
    assert "sudo rm" in refused.value.fix
    assert cluster.exists()
    (place / "bare").unlink()
    cluster.down()
    assert "--network none" in done(place, "run")[-1]
    assert not cluster.exists()


def test_what_is_told_of_each(
    place: Path, cluster: backend.KindCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items of a list have no kind of their own."""
    ready = {
        "metadata": {"name": "labs-x-worker"},
        "spec": {"podCIDR": "10.244.1.0/24"},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "172.18.0.3"}],
        },
    }
    monkeypatch.setattr(kube, "request", lambda *_: {"items": [ready]})
    control, first, _ = cluster.nodes()
    assert (first.ready, first.address, first.pods) == (True, "172.18.0.3", "10.244.1.0/24")
    assert (control.ready, control.role, control.state) == (None, "control-plane", "running")
