"""A cluster's directory: names, records, the lock, removal."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from labsupport.cluster import directory as module
from labsupport.cluster.directory import ClusterDirectory, clusters_directory, existing, remove_tree
from labsupport.errors import LabsError


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("name", ["", "Labs", "../x", "a/b", "-a", "a" * 33, "a b"])
def test_bad_names_are_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(LabsError, match="lower-case"):
        ClusterDirectory(name)


def test_looking_leaves_no_trace(tmp_path: Path) -> None:
    assert existing() == ()
    assert ClusterDirectory("labs").read_record() == {}
    assert not (tmp_path / "state").exists()


def test_directories_are_private() -> None:
    directory = ClusterDirectory("labs")
    directory.make()
    for path in (directory.root, clusters_directory(), clusters_directory().parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert existing() == ("labs",)


def test_half_a_record_counts_as_none() -> None:
    directory = ClusterDirectory("labs")
    directory.make()
    directory.record.write_text('{"backend": "embe')
    assert directory.read_record() == {}
    directory.update_record(port=1)
    assert json.loads(directory.record.read_text())["port"] == 1


def test_a_record_of_a_newer_version_is_not_touched() -> None:
    directory = ClusterDirectory("labs")
    directory.make()
    directory.record.write_text(json.dumps({"format": module.CURRENT_FORMAT + 1}))
    with pytest.raises(LabsError, match="newer version"):
        directory.read_record()


def test_lock_names_its_holder_and_is_removed() -> None:
    directory = ClusterDirectory("labs")
    holder = pytest.raises(LabsError, match=r"`labs up` \(process \d+\)")
    with directory.locked("up"), holder, directory.locked("down"):
        pass
    with directory.locked("down"):
        pass
    assert not clusters_directory().exists()


def _hold(ready: Event) -> None:
    with ClusterDirectory("labs").locked("up"):
        ready.set()
        os._exit(9)  # as a kill -9 would: nothing is cleaned up


def test_lock_file_of_a_killed_process_holds_nothing() -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(ready,))
    process.start()
    assert ready.wait(10)
    process.join(10)
    assert (clusters_directory() / ".labs.lock").exists()
    with ClusterDirectory("labs").locked("up"):
        pass


def test_remove_tree_opens_closed_directories(tmp_path: Path) -> None:
    closed = tmp_path / "tree/work/work"
    closed.mkdir(parents=True)
    (closed / "file").touch()
    (tmp_path / "tree/link").symlink_to(tmp_path)
    closed.chmod(0)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert tmp_path.exists()


def test_remove_tree_says_what_it_may_not_remove(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a directory of a container's user is for the cluster's owner: neither can it be read nor opened up."""
    (tmp_path / "tree/another/file").mkdir(parents=True)
    real = os.open

    def refuse(path: object, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "another":
            raise PermissionError(13, "Permission denied", path)
        return real(path, flags, mode, dir_fd=dir_fd)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError, match="tree/another"):
        remove_tree(tmp_path / "tree")
