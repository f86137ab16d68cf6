"""What a node image is made from, and the files of ours in it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml

from labsupport.cluster import courseroot, versions
from labsupport.cluster.binaries import Binary
from labsupport.cluster.kind import node_image, node_root

PROGRAMS = {
    name: Binary(name, "1", Path("/nowhere"), "cache", True, f"digest of {name}")
    for name in node_image.PROGRAMS
}


@pytest.fixture
def description() -> courseroot.Description:
    return courseroot.load(node_image.DEFINITION, ("bookworm", "amd64"), "node-root")


def test_the_key_changes_with_each_ingredient(description: courseroot.Description) -> None:
    key = node_image.key_of(description, PROGRAMS)
    assert re.fullmatch("[0-9a-f]{16}", key)
    assert node_image.key_of(description, dict(reversed(PROGRAMS.items()))) == key
    kubelet = dataclasses.replace(PROGRAMS["kubelet"], digest="another")
    assert node_image.key_of(description, PROGRAMS | {"kubelet": kubelet}) != key
    assert node_image.key_of(dataclasses.replace(description, pins={}), PROGRAMS) != key
    assert (
        node_image.reference(key) == f"labs.example/kind-node:v{versions.load().versions['kubernetes']}-{key}"
    )


def test_every_package_is_pinned(description: courseroot.Description) -> None:
    assert set(description.packages) <= set(description.pins)
    assert not set(description.pins) & description.leave_out
    assert courseroot.load(node_image.DEFINITION, ("bookworm", "arm64"), "node-root").pins


def test_programs_are_pinned_ones() -> None:
    assert set(node_image.PROGRAMS) < set(versions.names("kind"))


def test_files_get_the_modes_of_kinds_dockerfile(tmp_path: Path) -> None:
    node_root.copy_files(node_root.OURS, tmp_path)
    assert (tmp_path / "kind/bin/labs-network.sh").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "etc/systemd/system/labs-network.service").stat().st_mode & 0o777 == 0o644


def test_ranges_agree_in_every_file() -> None:
    networking = yaml.safe_load((node_image.DEFINITION / "cluster.yaml").read_text())["networking"]
    script = (node_root.OURS / "kind/bin/labs-network.sh").read_text()
    assert f"pods={networking['podSubnet']} services={networking['serviceSubnet']}" in script
    plugins = json.loads((node_root.OURS / "kind/cni/10-labs.conflist").read_text())["plugins"]
    (first,) = plugins[0]["ipam"]["ranges"][0]
    assert first["subnet"].startswith("10.244.0.")
    assert {plugin["type"] for plugin in plugins} < set(node_root.CNI_PLUGINS)
    manifest = (node_root.OURS / "kind/manifests/default-cni.yaml").read_text()
    assert first["subnet"] in manifest


def test_the_network_manifest_uses_what_the_node_has() -> None:
    text = (node_root.OURS / "kind/manifests/default-cni.yaml").read_text()
    objects = list(yaml.safe_load_all(text))
    (daemon,) = [each for each in objects if each["kind"] == "DaemonSet"]
    (container,) = daemon["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"{node_image.REPOSITORY}/node-tools:1"
    assert container["imagePullPolicy"] == "Never"
    # kind does nothing with a manifest that does not ask for it in these words
    assert "# would you kindly template this file" in text
    assert "# would you kindly patch this file" in text
