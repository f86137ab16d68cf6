"""What Docker's answers mean, without Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.kind import docker
from labsupport.errors import LabsError


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///run/d.sock. Is the docker daemon running?",
            "daemon",
        ),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///run/d.sock",
            "permission",
        ),
        (
            "Error response from daemon: client version 1.24 is too old. Minimum supported API version is 1.44",
            "old",
        ),
        ("something new", "other"),
    ],
)
def test_each_trouble_has_its_step(said: str, kind: str) -> None:
    found = docker.judge("docker", Path("/bin/docker"), False, "", said)
    assert isinstance(found, docker.Trouble)
    assert found.kind == kind
    what, fix = docker.explain(found)
    assert said in what
    assert fix


@pytest.mark.parametrize(
    ("version", "good"), [("20.10.24+dfsg1", True), ("28.2.2", True), ("20.9.1", False), ("19.03.8", False)]
)
def test_old_ones_are_told(version: str, good: bool) -> None:
    found = docker.judge("docker", Path("/bin/docker"), True, version, "")
    assert isinstance(found, docker.Engine) == good


def fake(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


def test_the_first_engine_that_answers(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    found = docker.look(environ)
    assert isinstance(found, docker.Trouble)
    assert found.kind == "missing"
    with pytest.raises(LabsError, match="Neither Docker nor Podman"):
        docker.find(environ)
    fake(tmp_path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    fake(tmp_path, "podman", "echo 5.4.0")
    assert docker.find(environ).name == "podman"
    fake(tmp_path, "podman", "exit 1")
    with pytest.raises(LabsError, match="Docker does not run"):
        docker.find(environ)
    fake(tmp_path, "docker", "echo 28.2.2")
    assert docker.find(environ).name == "docker"
    fake(tmp_path, "podman", "echo 5.4.0")
    assert docker.find(environ | {docker.PROVIDER: "podman"}).name == "podman"


def test_a_nodes_mark_is_read_from_its_mounts() -> None:
    entry = {
        "Id": "abc",
        "Name": "/labs-x-control-plane",
        "State": {"Running": True, "Pid": 7, "StartedAt": "2026-11-24T10:00:00.123456789Z"},
        "Config": {"Labels": {docker.ROLE_LABEL: "control-plane"}},
        "Mounts": [
            {"Source": "/elsewhere", "Destination": "/var"},
            {"Source": "/s/owner", "Destination": "/mark"},
        ],
    }
    node = docker.node_of(entry, "/mark")
    assert (node.name, node.role, node.running, node.mark) == (
        "labs-x-control-plane",
        "control-plane",
        True,
        "/s/owner",
    )
    assert docker.node_of(entry | {"Mounts": []}, "/mark").mark == ""
