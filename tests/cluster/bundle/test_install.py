"""Using a bundle: nothing is unpacked unless everything is what it should be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from labsupport.cluster import courseroot, gatewayapi, versions
from labsupport.cluster.binaries import store
from labsupport.cluster.bundle import archive, install, manifest, needs
from labsupport.cluster.bundle.manifest import Manifest
from labsupport.cluster.bundle.part import Part
from labsupport.console import Phase
from labsupport.errors import LabsError

from .samples import Maker, program

OBJECTS = b'[{"kind":"Route"}]'


def course_root(tmp_path: Path) -> Part:
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "usr/bin/python3.11").write_text("python")
    release, architecture = courseroot.host_platform()

    def write(target: Path, progress: Phase) -> None:
        archive.write_tree(target, tree)

    return replace(
        program("course-root"),
        kind="course-root",
        version=f"{release}-{architecture}",
        make=write,
        size=1000,
        content={
            "release": release,
            "architecture": architecture,
            "digest": courseroot.digest(courseroot.load(), None),
            "python": "/usr/bin/python3.11",
            "packages": {"base-files": "1"},
            "deviations": [],
        },
    )


def definitions(content: bytes = OBJECTS) -> Part:
    def write(target: Path, progress: Phase) -> None:
        archive.write_files(target, {gatewayapi.FILE: content})

    wanted = versions.definitions(gatewayapi.NAME)
    return replace(
        program(gatewayapi.NAME, wanted.version),
        kind="definitions",
        make=write,
        size=len(OBJECTS),
        content={"sha256": wanted.sha256},
    )


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small definitions in place of the real ones."""
    digest = hashlib.sha256(OBJECTS).hexdigest()
    named = replace(versions.definitions(gatewayapi.NAME), sha256=digest)
    monkeypatch.setattr(versions, "definitions", lambda name: named)


def all_parts(tmp_path: Path) -> list[Part]:
    names = needs.programs("embedded")
    programs = [program(name, versions.program(name).version) for name in names]
    return [*programs, course_root(tmp_path), definitions()]


@pytest.fixture
def bundle(write: Maker, tmp_path: Path) -> Path:
    write(tmp_path / "bundle", *all_parts(tmp_path))
    return tmp_path / "bundle"


def use(bundle: Path, cache: Path, digest: str | None = None) -> tuple[str, ...]:
    return install(bundle, digest, cache, backend="embedded", owner_base=None).unpacked


def rewrite(bundle: Path, change: Callable[[dict[str, object]], object]) -> str:
    """Change the list and return its new digest: what someone would do who wants to deceive."""
    raw = json.loads((bundle / manifest.NAME).read_text())
    change(raw)
    content = json.dumps(raw).encode()
    (bundle / manifest.NAME).write_bytes(content)
    return manifest.digest_of(content)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def is_empty(cache: Path) -> bool:
    """Whether nothing of the bundle is there: no program, no tree, no half of either (locks do not count)."""
    return not [path for path in cache.rglob("*") if path.is_file() and path.name != "lock"]


def test_programs_and_course_root_are_as_if_fetched(bundle: Path, cache: Path) -> None:
    digest = manifest.read(bundle)[1]
    assert set(use(bundle, cache, digest)) == {*needs.programs("embedded"), "course-root", "gateway-api"}
    for name in needs.programs("embedded"):
        found, _ = store.find(cache, name, versions.program(name).version)
        assert found is not None
        assert found.unofficial
        assert json.loads(found.path.with_name(f"{name}.json").read_text())["origin"] == "bundle"
    root = courseroot.ensure(cache, owner_base=None)
    assert (root.path / "usr/bin/python3.11").read_text() == "python"
    assert root.packages == {"base-files": "1"}
    assert gatewayapi.ensure(cache) == [{"kind": "Route"}]
    assert gatewayapi.held(cache).origin == "bundle"
    assert use(bundle, cache, digest) == ()  # nothing is done twice


def test_the_digest_may_be_given_without_its_prefix(bundle: Path, cache: Path) -> None:
    assert use(bundle, cache, manifest.read(bundle)[1].removeprefix("sha256:"))


def test_another_digest_than_the_one_given(bundle: Path, cache: Path) -> None:
    with pytest.raises(LabsError, match="not the bundle that you mean"):
        use(bundle, cache, "sha256:" + "0" * 64)
    assert is_empty(cache)


def test_no_bundle_at_all(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(LabsError, match="is no bundle"):
        use(tmp_path, cache)


@pytest.mark.parametrize("which", ["archive", "sbom", "licences"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "other bytes"])
def test_a_damaged_file(bundle: Path, cache: Path, which: str, damage: str) -> None:
    part = next(part for part in manifest.read(bundle)[0].parts if part.name == "kubelet")
    file = bundle / getattr(part, which).file
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(LabsError, match=file.name.replace(".", r"\.")):
        use(bundle, cache)
    assert is_empty(cache)


def test_a_list_without_a_part(bundle: Path, cache: Path) -> None:
    def drop(raw: dict[str, object]) -> None:
        raw["parts"] = [part for part in raw["parts"] if part["name"] not in ("etcd", "course-root")]  # type: ignore[attr-defined]

    rewrite(bundle, drop)
    with pytest.raises(LabsError, match=r"lacks .*: etcd, course-root"):
        use(bundle, cache)
    assert is_empty(cache)


def test_another_version_of_a_program(write: Maker, tmp_path: Path, cache: Path) -> None:
    parts = [replace(part, version="0.0.1") if part.name == "etcd" else part for part in all_parts(tmp_path)]
    write(tmp_path / "old", *parts)
    with pytest.raises(LabsError, match=r"etcd 0\.0\.1 \(needed is"):
        use(tmp_path / "old", cache)
    assert is_empty(cache)


def test_another_course_root(bundle: Path, cache: Path) -> None:
    def change(raw: dict[str, object]) -> None:
        for part in raw["parts"]:  # type: ignore[attr-defined]
            if part["name"] == "course-root":
                part["content"]["digest"] = "0" * 16

    rewrite(bundle, change)
    with pytest.raises(LabsError, match="course root that is described differently"):
        use(bundle, cache)
    assert is_empty(cache)


def test_another_architecture(bundle: Path, cache: Path) -> None:
    rewrite(bundle, lambda raw: raw.update(architecture="s390x"))
    with pytest.raises(LabsError, match="is for s390x"):
        use(bundle, cache)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "architecture": "amd64", "parts": [{}]}'])
def test_a_list_that_is_none(bundle: Path, cache: Path, text: str) -> None:
    (bundle / manifest.NAME).write_text(text)
    with pytest.raises(LabsError, match="is damaged"):
        use(bundle, cache)


def test_a_list_of_a_newer_version(bundle: Path, cache: Path) -> None:
    rewrite(bundle, lambda raw: raw.update(format=99))
    with pytest.raises(LabsError, match="newer version"):
        use(bundle, cache)


def test_a_list_cannot_name_files_elsewhere(bundle: Path, cache: Path) -> None:
    def change(raw: dict[str, object]) -> None:
        raw["parts"][0]["archive"]["file"] = "../../etc/passwd"  # type: ignore[index]

    rewrite(bundle, change)
    with pytest.raises(LabsError, match="is damaged"):
        use(bundle, cache)


def test_an_archive_that_is_listed_and_still_wrong(bundle: Path, cache: Path) -> None:
    """The last line of defence: a list that its maker's digest covers, with an archive that must not be unpacked."""
    part = next(part for part in manifest.read(bundle)[0].parts if part.name == "kubelet")
    target = bundle / part.archive.file
    target.unlink()
    archive.write_files(target, {"../kubelet": b"x"}, mode=0o755)

    from labsupport.cluster.bundle.making import sha256_of

    def change(raw: dict[str, object]) -> None:
        for entry in raw["parts"]:  # type: ignore[attr-defined]
            if entry["name"] == "kubelet":
                entry["archive"] |= {"sha256": sha256_of(target), "size": target.stat().st_size}

    digest = rewrite(bundle, change)
    with pytest.raises(LabsError, match="leads out"):
        use(bundle, cache, digest)
    assert not list(cache.rglob("*kubelet*"))
    assert not [path for path in (cache / "bin").iterdir() if path.name.startswith(".new-")]


def test_another_program_than_the_list_names(bundle: Path, cache: Path) -> None:
    def change(raw: dict[str, object]) -> None:
        for entry in raw["parts"]:  # type: ignore[attr-defined]
            if entry["name"] == "etcd":
                entry["content"]["sha256"] = "0" * 64

    rewrite(bundle, change)
    with pytest.raises(LabsError, match="etcd in its archive is not the program"):
        use(bundle, cache)
    assert not list((cache / "bin").glob("etcd*"))


def test_too_little_space(bundle: Path, cache: Path) -> None:
    def change(raw: dict[str, object]) -> None:
        raw["parts"][0]["unpacked"] = 1 << 60  # type: ignore[index]

    rewrite(bundle, change)
    with pytest.raises(LabsError, match="are free"):
        use(bundle, cache)
    assert is_empty(cache)


def test_a_bundle_for_one_back_end_does_not_serve_another(bundle: Path, cache: Path) -> None:
    with pytest.raises(LabsError, match="back end kind"):
        install(bundle, None, cache, backend="kind", owner_base=None)


def test_the_list_is_written_as_it_is_read(bundle: Path) -> None:
    listing: Manifest = manifest.read(bundle)[0]
    assert manifest.encode(listing) == (bundle / manifest.NAME).read_bytes()
