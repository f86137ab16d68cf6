from __future__ import annotations

import json
from pathlib import Path

import pytest

from labsupport.cluster.conformance import clusters, prepare
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded.holder import Held, HeldWorker
from labsupport.cluster.embedded.prepare import NodeDirectory
from labsupport.errors import LabsError


def test_tests_use_the_nodes_that_run_and_are_connected() -> None:
    workers = {
        "node-2": HeldWorker("running", 20),
        "node-3": HeldWorker("stopped", 0),
        "node-4": HeldWorker("partitioned", 40),
    }
    found = prepare.running_nodes(Held(1, 2, 3, 4, workers), 5)
    assert [node.name for node in found] == ["node-1", "node-2"]


def test_a_cluster_of_ones_own_has_its_own_number_of_nodes() -> None:
    with pytest.raises(LabsError, match="its own number"), clusters.running("mine", 3):
        pass


def test_everything_is_taken_away_from_all_nodes_that_were_ever_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        prepare, "node_directory", lambda directory, node: NodeDirectory(tmp_path / node.name)
    )
    for name in ("node-1", "node-2"):
        (tmp_path / name / "etc/labs").mkdir(parents=True)
        (tmp_path / name / "etc/labs/catalogue.json").write_text("{}")
        (tmp_path / name / "var/lib/labs-conformance/layers").mkdir(parents=True)
    prepare._take_away(ClusterDirectory("mine"), 3, None)
    for name in ("node-1", "node-2"):
        assert not (tmp_path / name / "var/lib/labs-conformance").exists()
        images = json.loads((tmp_path / name / "etc/labs/catalogue.json").read_text())["images"]
        assert images
        assert not any("e2e" in image for image in images)
    assert not (tmp_path / "node-3").exists()
