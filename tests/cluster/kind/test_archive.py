"""Archives of images: what is in them, and that equal content makes equal bytes."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from labsupport.cluster.kind import archive


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("#!/bin/sh\n")
    (root / "usr/bin/tool").chmod(0o755)
    os.link(root / "usr/bin/tool", root / "usr/bin/twin")
    (root / "bin").symlink_to("usr/bin")
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "proc").mkdir()
    (root / "proc/left").touch()
    return root


def members(layer: archive.Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer.file) as opened:
        return {member.name: member for member in opened.getmembers()}


def test_a_layer_keeps_kinds_and_modes_and_belongs_to_root(tree: Path, tmp_path: Path) -> None:
    layer = archive.layer_of(
        tmp_path / "layer", trees={"": tree}, keep=lambda name: not name.startswith("proc/")
    )
    found = members(layer)
    assert set(found) == {"bin", "proc", "tmp", "usr", "usr/bin", "usr/bin/tool", "usr/bin/twin"}
    assert found["bin"].issym()
    assert found["bin"].linkname == "usr/bin"
    assert found["usr/bin/twin"].islnk()
    assert found["tmp"].mode == 0o1777
    assert {(member.uid, member.gid, member.mtime) for member in found.values()} == {(0, 0, archive.TIME)}


def test_the_digest_is_that_of_the_file_and_of_the_content_alone(tree: Path, tmp_path: Path) -> None:
    first = archive.layer_of(tmp_path / "first", trees={"": tree})
    os.utime(tree / "usr/bin/tool", (1, 1))
    second = archive.layer_of(tmp_path / "second", trees={"": tree})
    assert first.digest == hashlib.sha256(first.file.read_bytes()).hexdigest() == second.digest
    (tree / "usr/bin/tool").write_text("#!/bin/bash\n")
    assert archive.layer_of(tmp_path / "third", trees={"": tree}).digest != first.digest


def test_single_files_have_their_directories(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"x" * 10)
    layer = archive.layer_of(
        tmp_path / "layer",
        files={"opt/a/program": tmp_path / "program", "opt/a/text": b"words"},
        directories={"tmp": 0o1777},
    )
    found = members(layer)
    assert list(found) == ["tmp", "opt", "opt/a", "opt/a/program", "opt/a/text"]
    assert found["opt/a/program"].mode == 0o755


def test_an_archive_of_two_images_holds_a_shared_layer_once(tree: Path, tmp_path: Path) -> None:
    base = archive.layer_of(tmp_path / "base", trees={"": tree})
    top = archive.layer_of(tmp_path / "top", files={"top": b"t"})
    images = [
        archive.Image(("labs.example/a:1", "labs.example/alias:1"), (base,), command=["sh"], env={"A": "1"}),
        archive.Image(("labs.example/b:1",), (base, top), entrypoint=["/top"], user="1000"),
    ]
    archive.write(tmp_path / "images.tar", images)
    with tarfile.open(tmp_path / "images.tar") as opened:
        names = opened.getnames()
        assert names.count(f"{base.digest}/layer.tar") == 1

        def read(name: str) -> bytes:
            member = opened.extractfile(name)
            assert member is not None
            return member.read()

        manifest = json.loads(read("manifest.json"))
        assert manifest[0]["RepoTags"] == ["labs.example/a:1", "labs.example/alias:1"]
        for entry, image in zip(manifest, images, strict=True):
            content = read(entry["Config"])
            assert entry["Config"] == f"{hashlib.sha256(content).hexdigest()}.json"
            configuration = json.loads(content)
            assert configuration["rootfs"]["diff_ids"] == [f"sha256:{layer.digest}" for layer in image.layers]
            assert archive.LABEL in configuration["config"]["Labels"]
            for layer, stored in zip(image.layers, entry["Layers"], strict=True):
                assert hashlib.sha256(read(stored)).hexdigest() == layer.digest
    second = json.loads(images[1].configuration())["config"]
    assert second["User"] == "1000"
    assert second["Entrypoint"] == ["/top"]
    assert "Cmd" not in second
    archive.write(tmp_path / "again.tar", images)
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "images.tar").read_bytes()
