"""The Gateway API's definitions: from the release, else from the module, and never others than those that are named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from labsupport.cluster import gatewayapi, versions
from labsupport.cluster.binaries import fetch
from labsupport.cluster.versions import Definitions
from labsupport.errors import LabsError

DOCUMENTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Route", "metadata": {"name": "b"}, "spec": {"x": 1, "a": None}},
    {"apiVersion": "v1", "kind": "Route", "metadata": {"name": "a"}},
    {"apiVersion": "v1", "kind": "Policy", "metadata": {"name": "z"}},
]
RELEASE = "#\n# comment\n---\n" + yaml.safe_dump_all(DOCUMENTS)
Way = Callable[[Definitions, Path, Mapping[str, str]], bytes]


def failing(why: str) -> Way:
    def way(wanted: Definitions, cache_dir: Path, environ: Mapping[str, str]) -> bytes:
        raise LabsError(why)

    return way


@pytest.fixture
def wanted(monkeypatch: pytest.MonkeyPatch) -> Definitions:
    """Definitions as above in place of those that are pinned; no way leads anywhere as yet."""
    digest = hashlib.sha256(gatewayapi.in_one_form(DOCUMENTS)).hexdigest()
    named = replace(versions.definitions(gatewayapi.NAME), sha256=digest)
    monkeypatch.setattr(versions, "definitions", lambda name: named)
    monkeypatch.setattr(fetch, "text", lambda *_, **__: RELEASE)
    monkeypatch.setattr(gatewayapi, "from_module", failing("no go"))
    return named


def test_the_release_is_taken_and_kept(
    wanted: Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gatewayapi.ensure(tmp_path)
    assert [each["metadata"]["name"] for each in found] == ["z", "a", "b"]
    assert gatewayapi.held(tmp_path).origin == "release"

    def unreachable(*_: object, **__: object) -> str:
        raise fetch.Unreachable("no network")

    monkeypatch.setattr(fetch, "text", unreachable)
    assert gatewayapi.ensure(tmp_path) == found


def test_the_module_where_there_is_no_release(
    wanted: Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise fetch.Unreachable("no network")

    directory = tmp_path / "module" / wanted.files
    directory.mkdir(parents=True)
    for number, document in enumerate(DOCUMENTS):
        (directory / f"gateway_{number}.yaml").write_text(yaml.safe_dump(document))
    (directory / "kustomization.yaml").write_text("resources: []")
    monkeypatch.undo()
    monkeypatch.setattr(versions, "definitions", lambda name: wanted)
    monkeypatch.setattr(fetch, "text", unreachable)
    monkeypatch.setattr(gatewayapi, "module_directory", lambda *_: tmp_path / "module")
    assert len(gatewayapi.ensure(tmp_path)) == len(DOCUMENTS)
    assert gatewayapi.held(tmp_path).origin == "module"


def test_a_file_that_was_changed_is_fetched_again(wanted: Definitions, tmp_path: Path) -> None:
    gatewayapi.ensure(tmp_path)
    file = gatewayapi.place(tmp_path) / gatewayapi.FILE
    file.write_text("[]")
    assert gatewayapi.in_cache(tmp_path) is None
    assert len(gatewayapi.ensure(tmp_path)) == len(DOCUMENTS)


def test_other_objects_than_those_named_are_refused(
    wanted: Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "text", lambda *_, **__: RELEASE.replace("x: 1", "x: 2"))
    with pytest.raises(
        LabsError, match=r"(?s)release: not the objects of version 1\.6\.3.*module: no go"
    ) as error:
        gatewayapi.ensure(tmp_path)
    assert "bundle" in str(error.value.fix)
    assert gatewayapi.in_cache(tmp_path) is None
    with pytest.raises(LabsError, match="not the objects"):
        gatewayapi.keep(tmp_path, b"[]", "bundle")


def test_whoever_has_no_network_now_is_told_and_goes_on(
    wanted: Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gatewayapi, "_from_release", failing("no release"))
    gatewayapi.prepare(tmp_path)
    assert "the mesh cannot be installed as long as this is so" in capsys.readouterr().err


def test_the_one_form_depends_on_the_objects_alone() -> None:
    other = [dict(reversed(document.items())) for document in reversed(DOCUMENTS)]
    assert gatewayapi.in_one_form(other) == gatewayapi.in_one_form(DOCUMENTS)
    assert json.loads(gatewayapi.in_one_form(DOCUMENTS))[2]["spec"] == {"a": None, "x": 1}


def test_the_module_has_the_listed_version() -> None:
    source = versions.definitions(gatewayapi.NAME)
    required = (source.module / "go.mod").read_text()
    assert f"\t{source.package} v{source.version}" in required
    assert f"{source.package}/conformance v{source.version}\n" in required
    assert f"{source.package} v{source.version} h1:" in (source.module / "go.sum").read_text()
    assert versions.program("gateway-conformance").version == source.version
