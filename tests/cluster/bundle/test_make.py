"""Making a bundle: reproducible, resumable, never half, never into somebody's files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labsupport.cluster.bundle import archive, making, manifest
from labsupport.console import Phase
from labsupport.errors import LabsError

from .samples import Maker, package, program


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_two_bundles_of_the_same_are_the_same(write: Maker, tmp_path: Path) -> None:
    first = write(tmp_path / "one", program("kubelet"), program("etcd"))
    second = write(tmp_path / "two", program("kubelet"), program("etcd"))
    assert first.digest == second.digest
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert manifest.read(tmp_path / "one")[1] == first.digest


def test_the_digest_names_every_byte(write: Maker, tmp_path: Path) -> None:
    first = write(tmp_path / "one", program("kubelet"))
    assert write(tmp_path / "two", program("kubelet", content=b"other")).digest != first.digest
    other_texts = replace(program("kubelet"), packages=lambda: (package("example.org/other"),))
    assert write(tmp_path / "three", other_texts).digest != first.digest


def test_every_part_has_sbom_and_texts_and_says_that_it_is_unofficial(write: Maker, tmp_path: Path) -> None:
    made = write(tmp_path / "b", program("kubelet"))
    (part,) = made.manifest.parts
    assert part.unofficial
    assert part.origin == "built"
    sbom = json.loads((tmp_path / "b" / part.sbom.file).read_text())
    assert "Unofficial build" in sbom["packages"][0]["comment"]
    assert sbom["packages"][0]["checksums"][0]["checksumValue"] == part.archive.sha256
    texts = dict(archive.read_files(tmp_path / "b" / part.licences.file))
    assert texts == {"example.org/thing@v1.0.0/LICENSE": b"Permission is hereby granted"}


def test_a_part_without_a_licence_text_is_not_made(write: Maker, tmp_path: Path) -> None:
    bare = program("kubelet", packages=(package(), package("example.org/bare", texts=False)))
    with pytest.raises(LabsError, match=r"kubelet: example\.org/bare v1\.0\.0"):
        write(tmp_path / "b", bare)


def test_what_is_whole_and_of_the_same_input_is_kept(write: Maker, tmp_path: Path) -> None:
    directory = tmp_path / "b"
    first = write(directory, program("kubelet"), program("etcd"))
    calls = []

    def counted(target: Path, progress: Phase) -> None:
        calls.append(target)
        archive.write_files(target, {"kubelet": b""})

    again = write(directory, replace(program("kubelet"), make=counted), program("etcd"))
    assert again.kept == ("kubelet", "etcd")
    assert (again.digest, calls) == (first.digest, [])
    damaged = directory / first.manifest.parts[1].archive.file
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    mended = write(directory, program("kubelet"), program("etcd"))
    assert mended.kept == ("etcd",)
    assert mended.digest == first.digest


def test_an_interrupted_run_leaves_nothing_half_and_goes_on(write: Maker, tmp_path: Path) -> None:
    directory = tmp_path / "b"

    def interrupted(target: Path, progress: Phase) -> None:
        target.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(directory, program("etcd"), replace(program("kubelet"), make=interrupted))
    assert not list(directory.glob(f"{making.NEW}*"))
    assert [part.name for part in manifest.read(directory)[0].parts] == ["etcd"]
    assert write(directory, program("etcd"), program("kubelet")).kept == ("etcd",)


def test_files_of_parts_that_are_no_longer_in_it_go(write: Maker, tmp_path: Path) -> None:
    directory = tmp_path / "b"
    write(directory, program("kubelet", "1.0.0"), program("etcd"))
    write(directory, program("kubelet", "2.0.0"))
    assert {path.name for path in directory.iterdir()} == {
        "manifest.json",
        "kubelet-2.0.0.tar.gz",
        "kubelet-2.0.0.licences.tar.gz",
        "kubelet-2.0.0.spdx.json",
    }


def test_a_directory_with_something_else_is_left_alone(write: Maker, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").write_text("dear")
    with pytest.raises(LabsError, match="not empty"):
        write(tmp_path / "mine", program("kubelet"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter"]


def test_a_full_disk_is_told_before_the_work(
    write: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "MARGIN", 1 << 60)
    with pytest.raises(LabsError, match="MB are free"):
        write(tmp_path / "b", program("kubelet"))
    assert list((tmp_path / "b").iterdir()) == []
