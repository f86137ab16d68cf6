"""Making the course root: which versions, what is unpacked where, and what an interruption leaves."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster import courseroot
from labsupport.cluster.courseroot import Description, apt, finish, make
from labsupport.cluster.courseroot.description import Pin
from labsupport.errors import LabsError

PRIVATE = apt.Apt(Path("/absent"), "amd64")


def archive(
    monkeypatch: pytest.MonkeyPatch, newest: dict[str, str], older: dict[str, set[str]] | None = None
) -> None:
    """What apt would say of an archive with these versions."""
    monkeypatch.setattr(apt, "resolve", lambda _, packages: newest)
    monkeypatch.setattr(
        apt,
        "available",
        lambda _, names: {
            name: {newest[name]} | (older or {}).get(name, set()) for name in names if name in newest
        },
    )


def pinned(description: Description, **versions: str) -> Description:
    return dataclasses.replace(description, pins={name: Pin(v, "0" * 64) for name, v in versions.items()})


def test_pinned_versions_while_the_archive_has_them(
    description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(monkeypatch, {"one": "2", "two": "2"}, {"one": {"1"}, "two": {"1"}})
    assert make.choose(PRIVATE, pinned(description, one="1", two="1")) == ({"one": "1", "two": "1"}, [])


def test_the_newest_where_the_archive_lost_a_version(
    description: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(monkeypatch, {"one": "2", "two": "1", "perl": "5", "new": "7"})
    chosen, deviations = make.choose(PRIVATE, pinned(description, one="1", two="1", gone="1"))
    assert chosen == {"one": "2", "two": "1", "new": "7"}
    assert deviations == ["one: 2 instead of 1", "new: 7 instead of nothing"]


def test_no_lock_takes_the_newest(description: Description, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(monkeypatch, {"one": "2", "perl": "5"})
    chosen, deviations = make.choose(PRIVATE, description)
    assert chosen == {"one": "2"}
    assert deviations == ["no lock for bookworm amd64: newest versions"]


def test_downloaded_packages_need_no_apt(
    description: Description,
    package: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    progress: Any,
    tmp_path: Path,
) -> None:
    file = package("one", "1:2-3+b1", {"usr/bin/one": ""})
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(apt, "prepare", lambda *_: pytest.fail("apt was used"))
    locked = dataclasses.replace(description, pins={"one": Pin("1:2-3+b1", sha256)})
    packages, deviations = make.collect(locked, tmp_path, file.parent, progress)
    assert ([p.file for p in packages], deviations) == ([file], [])


def test_a_package_that_is_not_the_locked_one_is_refused(
    description: Description,
    package: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    progress: Any,
    tmp_path: Path,
) -> None:
    file = package("one", "1", {"usr/bin/one": ""})
    monkeypatch.setattr(apt, "prepare", lambda *_: PRIVATE)
    archive(monkeypatch, {"one": "1"})
    with pytest.raises(LabsError, match=r"not the ones that .* names: one=1"):
        make.collect(pinned(description, one="1"), tmp_path, file.parent, progress)
    assert not file.exists()


def test_unpacked_into_a_merged_usr(
    description: Description, package: Callable[..., Path], progress: Any, tmp_path: Path
) -> None:
    files = {
        "bin/bash": "shell",
        "usr/bin/one": "program",
        "lib/x86_64-linux-gnu/libone.so": "library",
        "usr/share/man/man1/one.1": "manual",
        "usr/share/doc/one/copyright": "licence",
    }
    root = tmp_path / "root"
    packages = [make.Package("one", "1", package("one", "1", files))]
    make.unpack(packages, root, description.drop, progress, keep_owners=False)
    assert (root / "bin").is_symlink()
    assert (root / "usr/bin/bash").read_text() == "shell"
    assert (root / "usr/lib/x86_64-linux-gnu/libone.so").read_text() == "library"
    assert (root / "usr/share/doc/one/copyright").exists()
    assert not list(root.rglob("one.1"))
    assert (root / "usr/bin/one").stat().st_uid == os.geteuid()


def test_a_damaged_package_is_named(description: Description, progress: Any, tmp_path: Path) -> None:
    file = tmp_path / "one_1_amd64.deb"
    file.write_bytes(b"no package")
    with pytest.raises(LabsError, match=r"cannot unpack .*one_1_amd64"):
        make.unpack([make.Package("one", "1", file)], tmp_path / "root", (), progress, keep_owners=False)


def test_configuration_by_hand(description: Description, tmp_path: Path) -> None:
    root = tmp_path / "root"
    finish.merge_usr(root)
    (root / "usr/bin/bash").write_text("")
    (root / "usr/bin/bash").chmod(0o4755)
    authorities = root / "usr/share/ca-certificates/mozilla"
    authorities.mkdir(parents=True)
    (authorities / "b.crt").write_text("B")
    (authorities / "a.crt").write_text("A\n")
    finish.configure(root, description)
    assert (root / "bin/sh").readlink() == Path("bash")
    assert (root / "usr/bin/vi").readlink() == Path("/usr/bin/busybox")
    assert not (root / "usr/bin/bash").is_symlink()  # a package's own command stays
    assert (root / "usr/bin/bash").stat().st_mode & 0o7777 == 0o755  # and is not set-user-id
    assert (root / "etc/ssl/certs/ca-certificates.crt").read_text() == "A\nB\n"
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    users = dict(line.split(":x:", 1) for line in (root / "etc/passwd").read_text().splitlines())
    assert users["course"].startswith("1000:1000:")
    assert {"root", "nobody"} <= users.keys()
    for name in ("proc", "sys", "dev", "run", "opt/labs/bin", "opt/labs/lib"):
        assert (root / name).is_dir()
    assert (root / "etc/resolv.conf").read_text() == ""


@pytest.fixture
def simple(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Parts that need packages replaced by ones that write a file; returns what was called."""
    called: list[str] = []

    def fill(temporary: Path, cache: Path, description: Description, owner_base: int | None) -> None:
        called.append("made")
        (temporary / "root").mkdir()
        manifest = {"python": "/usr/bin/python3.11", "packages": {"one": "1"}, "deviations": []}
        (temporary / "manifest.json").write_text(json.dumps(manifest))

    monkeypatch.setattr(make, "_make_in", fill)
    return called


def test_made_once_and_found_afterwards(tmp_path: Path, simple: list[str]) -> None:
    first = courseroot.ensure(tmp_path, owner_base=None)
    assert courseroot.ensure(tmp_path, owner_base=None) == first
    assert simple == ["made"]
    assert first.path == tmp_path / "course-root" / first.digest / "root"
    assert (first.python, first.packages) == ("/usr/bin/python3.11", {"one": "1"})
    assert (tmp_path / "course-root").stat().st_mode & 0o777 == 0o700


def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, simple: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(temporary: Path, *_: object) -> None:
        (temporary / "root/usr").mkdir(parents=True)
        (temporary / "root/usr").chmod(0o555)
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(make, "_make_in", interrupted)
        with pytest.raises(KeyboardInterrupt):
            courseroot.ensure(tmp_path, owner_base=None)
    assert [path.name for path in (tmp_path / "course-root").iterdir()] == ["lock"]
    killed = tmp_path / "course-root/.new-killed/root"  # what a kill -9 leaves
    killed.mkdir(parents=True)
    courseroot.ensure(tmp_path, owner_base=None)
    assert not killed.exists()


def test_too_little_space(tmp_path: Path, simple: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100 << 20}))
    with pytest.raises(LabsError, match="needs 600 MB free"):
        courseroot.ensure(tmp_path, owner_base=None)
    assert simple == []


def test_a_disk_that_fills_up(tmp_path: Path, simple: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    monkeypatch.setattr(make, "_make_in", full)
    with pytest.raises(LabsError, match="the disk is full") as caught:
        courseroot.ensure(tmp_path, owner_base=None)
    assert "labs cache --prune" in caught.value.fix
    assert [path.name for path in (tmp_path / "course-root").iterdir()] == ["lock"]


def test_without_apt_the_advice_is_the_bundle_or_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabsError, match="needs apt-get, apt-cache, apt-config, dpkg-deb") as caught:
        courseroot.ensure(tmp_path, owner_base=None)
    assert "--bundle" in caught.value.fix
    assert "kind" in caught.value.fix


def test_only_root_gives_files_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabsError, match="only root"):
        courseroot.ensure(tmp_path, owner_base=1000)


def test_found_fast(tmp_path: Path, simple: list[str]) -> None:
    """Finding it made imports neither what makes it nor anything slow."""
    courseroot.ensure(tmp_path, owner_base=None)
    code = f"""
import sys
from pathlib import Path
from labsupport.cluster import courseroot
courseroot.ensure(Path({str(tmp_path)!r}), owner_base=None)
slow = {{"labsupport.cluster.courseroot.make", "rich", "pydantic", "requests", "subprocess"}}
print(sorted(slow & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
