"""A small description, and Debian packages made on the spot."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labsupport.cluster.courseroot import Description


class Silent:
    """A phase that shows nothing."""

    def update(self, detail: str) -> None:
        pass


@pytest.fixture
def progress() -> Silent:
    return Silent()


@pytest.fixture
def description(tmp_path: Path) -> Description:
    site = tmp_path / "course-site.txt"
    site.write_text("h11==1 --hash=sha256:00\n")
    return Description(
        release="bookworm",
        architecture="amd64",
        packages=("one", "two"),
        leave_out=frozenset({"perl"}),
        drop=("./usr/share/man/*",),
        links={"usr/bin/sh": "bash", "var/run": "/run"},
        busybox={"usr/bin": ("vi", "bash")},
        users={"course": 1000},
        pins={},
        site=site,
        source="packages = []",
    )


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Make a .deb of files: `package(name, version, {"bin/x": "text"})`."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb here")

    def make(name: str, version: str, files: dict[str, str]) -> Path:
        tree = tmp_path / "trees" / f"{name}-{version}".replace(":", "_")
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
            "Maintainer: a <a@example.org>\nDescription: test\n"
        )
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        file = tmp_path / "debs" / f"{name}_{version.replace(':', '%3a')}_amd64.deb"
        file.parent.mkdir(exist_ok=True)
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True
        )
        return file

    return make
