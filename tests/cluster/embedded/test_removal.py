"""Removing a cluster: in an order that can be gone on with, and an error where its users' ids cannot be had."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import removal
from labsupport.cluster.embedded.idmap import IdMap
from labsupport.errors import LabsError

SUBORDINATE = IdMap("subordinate", 1000, 1000, 1, 100_000, 100_000)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterDirectory:
    """A cluster that has ended, with one file of the node's."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    made = ClusterDirectory("labs")
    made.make()
    made.update_record(backend="embedded", ready_once=True)
    (made.root / "node/var").mkdir(parents=True)
    (made.root / "node/var/file").touch()
    (made.root / "launch.json").write_text(json.dumps({"idmap": asdict(SUBORDINATE)}))
    return made


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if something in a node's directories belonged to another user."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(removal, "remove_tree", refuse)


def test_what_is_ones_own_needs_no_namespace(
    directory: ClusterDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(removal, "run_mapped")
    removal.remove(directory)
    assert not directory.root.exists()
    removal.remove(directory)


def test_what_belongs_to_others_goes_within_the_map_and_the_record_last(
    directory: ClusterDirectory, foreign: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []

    def run(id_map: IdMap, paths: list[Path]) -> None:
        seen.extend([id_map, *paths, removal.recorded_map(directory), directory.read_record()["removing"]])

    monkeypatch.setattr(removal, "run_mapped", run)
    removal.remove(directory)
    assert seen == [SUBORDINATE, directory.root / "node", directory.root / "workers", SUBORDINATE, True]
    assert not directory.root.exists()


def test_without_the_ids_it_stays_and_says_what_to_do(
    directory: ClusterDirectory, foreign: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(id_map: IdMap, paths: list[Path]) -> None:
        raise OSError("newuidmap: No such file or directory")

    monkeypatch.setattr(removal, "run_mapped", run)
    with pytest.raises(LabsError) as refused:
        removal.remove(directory)
    assert "ids 100000 to 165534" in refused.value.what
    assert "newuidmap: No such file" in refused.value.what
    assert f"sudo rm -r {directory.root}" in refused.value.fix
    assert refused.value.anchor == "ids"
    assert removal.recorded_map(directory) == SUBORDINATE, "the next `labs down` can go on"


def test_a_cluster_of_one_id_hides_no_error(directory: ClusterDirectory, foreign: None) -> None:
    (directory.root / "launch.json").unlink()
    with pytest.raises(PermissionError):
        removal.remove(directory)


def test_a_map_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    """In a child, as it is done; ids that nobody gave to anybody."""
    with pytest.raises(OSError, match="newuidmap"):
        removal.run_mapped(IdMap("subordinate", os.geteuid(), os.getegid(), 1, 3_000_000_000, 3_000_000_000))


def test_paths_are_removed_within_a_map_of_one_id(tmp_path: Path) -> None:
    (tmp_path / "tree/a").mkdir(parents=True)
    try:
        removal.run_mapped(IdMap("single", os.geteuid(), os.getegid(), 1), [tmp_path / "tree"])
    except OSError as error:
        pytest.skip(f"no user namespaces here: {error}")
    assert list(tmp_path.iterdir()) == []
