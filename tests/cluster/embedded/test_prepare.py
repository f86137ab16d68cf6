"""The node's files: complete, repeatable, and nothing of the host's in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import prepare
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.errors import LabsError

MINE = IdMap("single", 0, 0, 1)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterDirectory:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    made = ClusterDirectory("labs")
    made.make()
    return made


def test_files_are_complete_and_written_again_without_change(
    directory: ClusterDirectory, tmp_path: Path
) -> None:
    assert prepare.write_node(directory, tmp_path / "root", MINE, {"images": []})
    node = prepare.node_directory(directory)
    assert json.loads((node.etc / "labs/runtime.json").read_text())["idmap"] == "single"
    assert (node.etc / "passwd").exists()
    assert (node.package / "labsupport/cluster/embedded/node.py").exists()
    assert prepare.write_node(directory, tmp_path / "root", MINE, {"images": []}) == ()


def test_an_interrupted_copy_is_repaired(directory: ClusterDirectory, tmp_path: Path) -> None:
    (tmp_path / "root/etc/os-release").symlink_to("../usr/lib/os-release")
    prepare.write_node(directory, tmp_path / "root", MINE, {})
    node = prepare.node_directory(directory)
    authority = (node.etc / "kubernetes/pki/ca.crt").read_bytes()
    (node.etc / "labs/.course-root").unlink()  # written last: an interrupted copy has everything but this
    (node.etc / "left-over").mkdir()
    prepare.write_node(directory, tmp_path / "root", MINE, {})
    assert not (node.etc / "left-over").exists()
    assert (node.etc / "kubernetes/pki/ca.crt").read_bytes() == authority


def test_the_nodes_files_hold_no_administrator(directory: ClusterDirectory, tmp_path: Path) -> None:
    prepare.write_node(directory, tmp_path / "root", MINE, {})
    node = prepare.node_directory(directory)
    # Beside the copy of our package, which has a room of that name.
    assert not [each for each in node.root.rglob("*admin*") if "labsupport" not in each.parts]


def test_kubeconfig_of_the_administrator(directory: ClusterDirectory, tmp_path: Path) -> None:
    prepare.write_node(directory, tmp_path / "root", MINE, {})
    directory.kubeconfig.write_text(
        "apiVersion: v1\nkind: Conf"
    )  # half of one, as an interrupted write leaves
    prepare.write_kubeconfig(directory, 12345)
    content = yaml.safe_load(directory.kubeconfig.read_text())
    assert content["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:12345"
    assert directory.kubeconfig.stat().st_mode & 0o777 == 0o600


def test_shipped_components_are_sound() -> None:
    definition = prepare.read_components(prepare.DEFINITIONS / "components.toml")
    assert [entry["name"] for entry in definition["component"]][:2] == ["container-monitor", "etcd"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[component]\n", "cannot be read"),
        ('[[component]]\nname = "x"\n', "needs a name and an argv"),
        ('[[component]]\nname = "x"\nargv = ["x"]\nafter = "y"\n', "'y', which is no component"),
    ],
)
def test_a_wrong_definition_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "components.toml"
    file.write_text(text)
    with pytest.raises(LabsError, match=complaint):
        prepare.read_components(file)
