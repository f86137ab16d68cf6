"""What decides whether a machine is made anew, and what is said where it cannot be."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from labsupport.errors import LabsError
from labsupport.paths import REPOSITORY

from . import image


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What of a tree decides the machine."""
    for name in ("uv.lock", "pyproject.toml", "labsupport/bootstrap.py", "clusters/images"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_dir():
            shutil.copytree(REPOSITORY / name, tmp_path / name)
        else:
            shutil.copy(REPOSITORY / name, tmp_path / name)
    return tmp_path


def test_the_same_recipe_gives_the_same_name(source: Path) -> None:
    assert image.recipe("12", source).digest() == image.recipe("12", source).digest()
    place = image.location(Path("/cache"), image.recipe("12", source))
    assert place.parent == Path("/cache/vm")
    assert place.name.startswith("bookworm-")


def test_what_changes_the_machine_changes_its_name(source: Path) -> None:
    first = image.recipe("12", source)
    seen = {
        first.digest(),
        image.recipe("13", source).digest(),
        image.recipe("12", source, ("uidmap",)).digest(),
    }
    seen.add(replace(first, size="20G").digest())
    for name, text in (
        ("uv.lock", "\n# another package\n"),
        ("clusters/images/course-root.toml", "\n# another root\n"),
        ("labsupport/bootstrap.py", '\nUV_VERSION = "0.0.1"\n'),
    ):
        before = (source / name).read_text()
        (source / name).write_text(text + before if name.endswith(".py") else before + text)
        seen.add(image.recipe("12", source).digest())
        (source / name).write_text(before)
    assert len(seen) == 7


def test_what_does_not_matter_there_does_not_change_it(source: Path) -> None:
    before = image.recipe("12", source).digest()
    with (source / "labsupport/bootstrap.py").open("a") as file:
        file.write("# a remark\n")
    with (source / "pyproject.toml").open("a") as file:
        file.write("\n# a remark\n")
    assert image.recipe("12", source).digest() == before


def test_the_promise_is_kept_to() -> None:
    assert set(image.PACKAGES) >= {"python3", "git", "make"}
    assert not set(image.PACKAGES) & {
        "python3-venv",
        "python3-pip",
        "uidmap",
        "iptables",
        "nftables",
        "iproute2",
    }


def test_missing_programs_are_named_with_their_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "search_path", lambda: str(tmp_path))
    with pytest.raises(LabsError) as error:
        image.require_programs()
    assert "qemu-system-x86_64" in error.value.what
    assert "apt-get install mmdebstrap e2fsprogs qemu-system-x86" in error.value.fix


def test_administrators_programs_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert image.search_path().split(":") == ["/usr/bin", "/usr/sbin", "/sbin"]
