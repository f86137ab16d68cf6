"""The parts that programs and the course root are: all that the embedded back end needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labsupport.cluster import courseroot
from labsupport.cluster.binaries import Binary
from labsupport.cluster.bundle import archive
from labsupport.cluster.bundle.part import Part
from labsupport.cluster.cachedir import size_of
from labsupport.cluster.courseroot import CourseRoot
from labsupport.cluster.licences import Package, debian, programs, wheels
from labsupport.console import Phase

COURSE_ROOT = "course-root"
# Made by ldconfig for its own next run; its bytes depend on the file system.
NOT_CONTENT = frozenset({"var/cache/ldconfig/aux-cache"})


def program_part(binary: Binary, cache_dir: Path, backends: Iterable[str]) -> Part:
    """A program, alone in its archive."""

    def packages() -> Sequence[Package]:
        return programs.inside(binary, cache_dir)

    def make(target: Path, progress: Phase) -> None:
        archive.write_files(target, {binary.name: binary.path}, mode=0o755, on_bytes=_shown(progress))

    return Part(
        name=binary.name,
        kind="program",
        version=binary.version,
        origin=_origin(binary),
        unofficial=binary.unofficial,
        key=binary.digest,
        size=binary.path.stat().st_size,
        make=make,
        packages=packages,
        backends=tuple(sorted(backends)),
        content={"sha256": binary.digest},
    )


def course_root_part(root: CourseRoot, backends: Iterable[str]) -> Part:
    """The course root, as a tree that belongs to root."""
    description = courseroot.load()

    def packages() -> Sequence[Package]:
        unpacked = debian.unpacked(root.path, root.packages, description.architecture, description.release)
        return [*unpacked, *wheels.installed(root.path / "opt/labs/site")]

    def make(target: Path, progress: Phase) -> None:
        archive.write_tree(target, root.path, leave_out=NOT_CONTENT, on_bytes=_shown(progress))

    return Part(
        name=COURSE_ROOT,
        kind="course-root",
        version=f"{description.release}-{description.architecture}",
        origin="Debian packages and Python wheels",
        unofficial=True,
        key=courseroot.digest(description, None) + "".join(sorted(root.deviations)),
        size=size_of(root.path),
        make=make,
        packages=packages,
        backends=tuple(sorted(backends)),
        content=described(root, description.release, description.architecture),
    )


def described(root: CourseRoot, release: str, architecture: str) -> Mapping[str, object]:
    """What the course root's own manifest says, but for its owner."""
    return {
        "release": release,
        "architecture": architecture,
        "digest": courseroot.digest(courseroot.load(target=(release, architecture)), None),
        "python": root.python,
        "packages": dict(root.packages),
        "deviations": list(root.deviations),
    }


def _origin(binary: Binary) -> str:
    """Where the program came from when it came into the cache: "release", "wheel", "built" or "bundle"."""
    try:
        return str(json.loads(binary.path.with_name(f"{binary.name}.json").read_bytes())["origin"])
    except (OSError, ValueError, KeyError):
        return binary.origin


def _shown(progress: Phase) -> archive.Report:
    return lambda count: progress.update(f"{count >> 20} MB read")
