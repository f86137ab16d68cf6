"""The kind back end with a stand-in for Docker: whose containers are whose, and what kind is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from labsupport import kube
from labsupport.cluster import get
from labsupport.cluster.kind import backend, confine, docker, image_choice
from labsupport.errors import LabsError

DOCKER = r"""#!/bin/sh
echo "$*" >>"$FAKE/log"
case $1 in
version) echo 28.2.2 ;;
ps) cat "$FAKE/ids" ;;
inspect) cat "$FAKE/inspect" ;;
network) [ "$2" != inspect ] || [ -e "$FAKE/network" ] ;;
image) [ -e "$FAKE/image" ] ;;
exec) [ ! -e "$FAKE/bare" ] || { echo "iptables: not found" >&2; exit 1; } ;;
manifest) [ -e "$FAKE/registry" ] || { echo "no such host" >&2; exit 1; } ;;
pull) touch "$FAKE/image" ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "ids").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv(docker.PROVIDER, raising=False)
    return tmp_path


def containers(place: Path, *marks: str, running: bool = True) -> None:
    """Let Docker have one container for each mark."""
    (place / "ids").write_text("".join(f"id{number}\n" for number in range(len(marks))))
    entries = [
        {
            "Id": f"id{number}",
            "Name": f"/labs-x-node{number}",
            "State": {"Running": running, "Pid": 0, "StartedAt": "2026-11-24T10:00:00Z"},
            "Config": {"Labels": {}},
            "Mounts": [{"Source": mark, "Destination": backend.MARK}],
        }
        for number, mark in enumerate(marks)
    ]
    (place / "inspect").write_text(json.dumps(entries))


def log(place: Path) -> list[str]:
    return (place / "log").read_text().splitlines()


def made(name: str = "x") -> backend.KindCluster:
    """A cluster that an earlier `up` made, as far as its directory tells."""
    cluster = backend.KindCluster(name)
    cluster._directory.make()
    cluster._directory.update_record(backend="kind", kind=backend.kind_name(name), ready_once=True)
    return cluster


def test_kind_gets_the_mark_the_image_and_no_outside_address(place: Path) -> None:
    cluster = backend.KindCluster("x")
    content = yaml.safe_load(cluster.configuration("labs.example/kind-node:1", "unofficial.labs.example"))
    (node,) = content["nodes"]
    assert node["image"] == "labs.example/kind-node:1"
    mark, shared = node["extraMounts"]
    assert shared == {"hostPath": str(cluster.directory / "volumes"), "containerPath": "/tmp/hostpath_pv"}
    assert mark == {
        "hostPath": str(cluster.directory / "owner"),
        "containerPath": backend.MARK,
        "readOnly": True,
    }
    assert content["networking"]["apiServerAddress"] == "127.0.0.1"
    assert content["networking"]["kubeProxyMode"] == "nftables"
    patches = [yaml.safe_load(patch) for patch in content["kubeadmConfigPatches"]]
    assert {"kind": "ClusterConfiguration", "imageRepository": "unofficial.labs.example"} in patches
    official = yaml.safe_load(cluster.configuration("registry.example/node:v1", ""))
    assert "ClusterConfiguration" not in str(official["kubeadmConfigPatches"])


def test_another_owners_cluster_is_refused_and_nothing_is_done_to_it(place: Path) -> None:
    containers(place, "/home/ada/state/owner")
    cluster = backend.KindCluster("x")
    with pytest.raises(LabsError, match="labs-x-node0") as refused:
        cluster.up()
    assert refused.value.anchor == "name-taken"
    assert {line.split()[0] for line in log(place)} == {"version", "ps", "inspect"}
    assert not cluster.exists()


def test_down_removes_what_carries_our_mark_and_nothing_else(place: Path) -> None:
    cluster = made()
    containers(place, str(cluster.directory / "owner"), "/home/ada/state/owner")
    cluster.down()
    assert [line for line in log(place) if line.startswith("rm ")] == ["rm --force --volumes id0"]
    assert not [line for line in log(place) if line.startswith("network rm")]
    assert not cluster.exists()


@pytest.mark.parametrize("ours", [True, False])
def test_the_network_goes_only_if_up_made_it(place: Path, ours: bool) -> None:
    (place / "network").touch()
    cluster = made()
    cluster._directory.update_record(network_made=ours)
    cluster.down()
    assert ("network rm kind" in log(place)) == ours


def test_down_keep_stops_and_keeps(place: Path) -> None:
    cluster = made()
    containers(place, str(cluster.directory / "owner"))
    cluster.down(keep=True)
    assert "stop id0" in log(place)
    assert cluster.exists()


def test_down_of_what_never_was_made_needs_no_docker(place: Path) -> None:
    (place / "docker").unlink()
    cluster = backend.KindCluster("x")
    cluster.down()
    cluster._directory.make()
    cluster.down()
    assert not cluster.exists()


def test_status_says_what_to_do(place: Path) -> None:
    assert "labs up --backend kind" in backend.KindCluster("x").status().problems[0]
    cluster = made()
    assert "gone" in cluster.status().problems[0]
    containers(place, str(cluster.directory / "owner"), running=False)
    status = cluster.status()
    assert not status.running
    assert "labs up" in status.problems[0]
    (place / "docker").unlink()
    assert "Docker" in cluster.status().problems[0]


def test_names_and_options_find_the_back_end(place: Path) -> None:
    assert (backend.kind_name("labs"), backend.kind_name("x")) == ("labs", "labs-x")
    assert isinstance(get("x", "kind", image="node:1"), backend.KindCluster)
    made("y")
    assert get("y").backend == "kind"
    with pytest.raises(LabsError, match="of the back end 'kind'"):
        get("y", "embedded")
    with pytest.raises(LabsError, match="no node image"):
        get("z", image="node:1")


def test_progress_is_plain_words() -> None:
    assert backend.words(" • Preparing nodes 📦   ...") == "Preparing nodes"
    assert backend.words(" ✓ ") == ""


@pytest.mark.parametrize(
    ("there", "deleted"), [("rancher.io/local-path", 1), ("kubernetes.io/host-path", 0), ("", 0)]
)
def test_a_storage_class_of_the_image_makes_way(
    monkeypatch: pytest.MonkeyPatch, there: str, deleted: int
) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(kube, "get", lambda *_: {"provisioner": there} if there else None)
    monkeypatch.setattr(kube, "delete", lambda api, documents: calls.append(documents))
    wanted = kube.load(backend.MANIFESTS / "storageclass.yaml")
    backend.make_way(None, wanted)  # type: ignore[arg-type]
    assert len(calls) == deleted


def test_kinds_own_image_is_taken_where_a_registry_answers(place: Path) -> None:
    (place / "registry").touch()
    engine = docker.look()
    assert isinstance(engine, docker.Engine)
    reference = image_choice.upstream_image(engine)
    assert "@sha256:" in reference
    assert f"pull {reference}" in log(place)
    (place / "log").unlink()
    assert image_choice.upstream_image(engine) == reference
    assert not [line for line in log(place) if line.startswith(("pull", "manifest"))]


def test_no_registry_means_no_upstream_image_and_says_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = docker.look()
    assert isinstance(engine, docker.Engine)
    assert image_choice.upstream_image(engine) == ""
    assert "no such host" in capsys.readouterr().err
    assert not [line for line in log(place) if line.startswith("pull")]


def test_services_addresses_are_kept_inside_each_node(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = docker.look()
    assert isinstance(engine, docker.Engine)
    nodes = [docker.Node(f"id{n}", f"node{n}", "worker", True, 0, "", "") for n in range(2)]
    confine.keep_services_inside(engine, nodes, "10.96.0.0/16")
    assert [line for line in log(place) if line.startswith("exec node1 sh -c")]
    assert log(place)[-1].endswith("10.96.0.0/16 192.0.2.0/24")
    assert capsys.readouterr().err == ""
    (place / "bare").touch()
    confine.keep_services_inside(engine, nodes, "10.96.0.0/16")
    assert "node0: dials to Services that are not there may leave" in capsys.readouterr().err
