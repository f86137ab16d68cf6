"""The course root's description: what it says, when its digest changes, what is said about a wrong one."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from labsupport import bootstrap
from labsupport.cluster import courseroot, process
from labsupport.cluster.courseroot import Description
from labsupport.cluster.courseroot import description as module
from labsupport.cluster.courseroot.description import Pin
from labsupport.cluster.courseroot.lock import render
from labsupport.errors import LabsError


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_shipped_lock_pins_all_that_is_listed(architecture: str) -> None:
    shipped = courseroot.load(target=("bookworm", architecture))
    assert set(shipped.packages) <= shipped.pins.keys()
    assert not shipped.leave_out & shipped.pins.keys()
    assert all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in shipped.pins.values())


def test_another_release_has_no_pins() -> None:
    assert courseroot.load(target=("trixie", "amd64")).pins == {}


def test_the_nodes_python_packages_are_those_of_the_lock() -> None:
    """course-site.txt and go-toolchain.txt are what uv.lock says: `uv export` writes them."""
    uv = shutil.which("uv") or (bootstrap.kept_uv() if bootstrap.kept_uv().exists() else None)
    if uv is None:
        pytest.skip("no uv here")
    files = {
        "pods --prune aiohttp-retry": module.IMAGES / "course-site.txt",
        "go": module.IMAGES.parent / "embedded/go-toolchain.txt",
    }
    for group, file in files.items():
        done = process.run(
            [uv, "export", "--frozen", "--no-header", "--only-group", *group.split()],
            cwd=bootstrap.REPOSITORY,
        )
        assert done.ok, done.reason()
        assert file.read_text().strip() == done.stdout.strip(), f"uv export ... --only-group {group} > {file}"


def test_the_digest_changes_with_all_that_makes_the_tree(
    description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = dataclasses.replace
    known = courseroot.digest(description, None)
    assert known == courseroot.digest(replace(description), None)
    others = [
        courseroot.digest(description, 0),
        courseroot.digest(replace(description, architecture="arm64"), None),
        courseroot.digest(replace(description, release="trixie"), None),
        courseroot.digest(replace(description, source="packages = [ ]"), None),
        courseroot.digest(replace(description, pins={"one": Pin("1", "a" * 64)}), None),
        courseroot.digest(replace(description, pins={"one": Pin("1", "b" * 64)}), None),
    ]
    description.site.write_text("h11==2 --hash=sha256:00\n")
    others.append(courseroot.digest(description, None))
    monkeypatch.setattr(module, "STEPS", module.STEPS + 1)
    others.append(courseroot.digest(description, None))
    assert len({known, *others}) == 1 + len(others)


def test_wrong_descriptions_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match=r"course-root\.toml is missing"):
        courseroot.load(tmp_path)
    shutil.copytree(module.IMAGES, tmp_path, dirs_exist_ok=True)
    file, lock = tmp_path / "course-root.toml", tmp_path / "course-root.lock"
    text = file.read_text()
    for change, message in (
        (("packages = [", "packages = ["[:-1]), r"course-root\.toml"),
        (("leave_out", "left_out"), "leave_out"),
        (("[links]", "[link]"), "links"),
    ):
        file.write_text(text.replace(*change))
        with pytest.raises(LabsError, match=message):
            courseroot.load(tmp_path)
    file.write_text(text)
    lock.write_text("bookworm amd64 bash 5.2\n")
    with pytest.raises(LabsError, match=r"course-root\.lock:1: expected"):
        courseroot.load(tmp_path)


def test_writing_the_lock_keeps_other_lines() -> None:
    old = "# comment\nbookworm amd64 a=1 x\nbookworm arm64 a=1 y\n"
    new = render(old, "bookworm", "amd64", {"b": Pin("2", "z")})
    assert new == "# comment\nbookworm amd64 b=2 z\nbookworm arm64 a=1 y\n"
