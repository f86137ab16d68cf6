"""The part of a bundle that the Gateway API's definitions are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from labsupport.cluster import gatewayapi, versions
from labsupport.cluster.bundle import archive, definitions
from labsupport.cluster.bundle.part import Part
from labsupport.cluster.gatewayapi import Held

from .samples import Maker

OBJECTS = b'[{"kind":"Route"}]'


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    module = tmp_path / "module"
    module.mkdir()
    (module / "LICENSE").write_text("Apache License\nVersion 2.0, January 2004\n")
    monkeypatch.setattr(gatewayapi, "module_directory", lambda *_: module)
    file = tmp_path / gatewayapi.FILE
    file.write_bytes(OBJECTS)
    version = versions.definitions(gatewayapi.NAME).version
    return Held(file, version, hashlib.sha256(OBJECTS).hexdigest(), "module")


def test_it_goes_with_its_licence(held: Held, tmp_path: Path, write: Maker) -> None:
    part = definitions.definitions_part(held, tmp_path, ("kind", "embedded"))
    assert part.backends == ("embedded", "kind")
    made = write(tmp_path / "bundle", part).manifest.parts[0]
    assert (made.kind, made.unofficial, made.content) == ("definitions", True, {"sha256": held.sha256})
    with (tmp_path / "bundle" / made.archive.file).open("rb") as file:
        archive.unpack_one(file, gatewayapi.FILE, tmp_path / "out", limit=made.unpacked)
    assert (tmp_path / "out").read_bytes() == OBJECTS
    texts = dict(archive.read_files(tmp_path / "bundle" / made.licences.file))
    assert [content for name, content in texts.items() if name.endswith("LICENSE")]


def test_a_release_is_said_to_be_one(held: Held, tmp_path: Path) -> None:
    def part(origin: str) -> Part:
        return definitions.definitions_part(Held(held.file, held.version, held.sha256, origin), tmp_path, ())

    assert not part("release").unofficial
    assert part("module").unofficial
