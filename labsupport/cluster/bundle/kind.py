"""The parts that the back end kind needs beside programs and the course root: its two archives of images."""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from labsupport.cluster import courseroot, versions
from labsupport.cluster.binaries import Binary
from labsupport.cluster.bundle import archive
from labsupport.cluster.bundle.part import Part
from labsupport.cluster.courseroot import CourseRoot
from labsupport.cluster.images import read_catalogue
from labsupport.cluster.kind import images, node_image
from labsupport.cluster.licences import Package, debian, gomodules, recognise, wheels
from labsupport.cluster.licences.programs import inside as programs_inside
from labsupport.console import Phase

COPYRIGHTS = ("usr/share/doc/", "usr/share/common-licenses/")


def parts(cache_dir: Path, programs: Mapping[str, Binary], root: CourseRoot) -> list[Part]:
    """The node image and the course's images, made if the cache does not have them."""
    node = node_image.ensure(cache_dir)
    course = images.ensure(cache_dir)
    in_course = images.programs_of(read_catalogue())
    kubernetes = versions.load().versions["kubernetes"]

    def node_packages() -> Sequence[Package]:
        inside = [programs[name] for name in node_image.PROGRAMS]
        listed = json.loads((node.archive.parent / "manifest.json").read_bytes())["packages"]
        return merged(
            _debian_of_image(node.archive, listed),
            _of_course_root(root),
            _linked(inside, cache_dir),
            [_kind_files(cache_dir)],
        )

    def course_packages() -> Sequence[Package]:
        inside = [programs[name] for name in in_course]
        return merged(_of_course_root(root), _linked(inside, cache_dir))

    return [
        _part("kind-node-image", kubernetes, node.archive, node.key, node_packages),
        _part("course-images", kubernetes, course.archive, course.key, course_packages),
    ]


def merged(*lists: Sequence[Package]) -> list[Package]:
    """All packages, each name and version once, by name."""
    found = {(package.name, package.version): package for packages in lists for package in packages}
    return [found[key] for key in sorted(found)]


def _part(name: str, version: str, file: Path, key: str, packages: Callable[[], Sequence[Package]]) -> Part:
    def make(target: Path, progress: Phase) -> None:
        archive.compress(file, target, lambda count: progress.update(f"{count >> 20} MB read"))

    return Part(
        name=name,
        kind="image",
        version=version,
        origin="built",
        unofficial=True,
        key=key,
        size=file.stat().st_size,
        make=make,
        packages=packages,
        backends=("kind",),
        content={
            "place": file.parent.name,
            "file": file.name,
            "manifest": json.loads((file.parent / "manifest.json").read_bytes()),
        },
    )


def _of_course_root(root: CourseRoot) -> list[Package]:
    release, architecture = courseroot.host_platform()
    unpacked = debian.unpacked(root.path, root.packages, architecture, release)
    return [*unpacked, *wheels.installed(root.path / "opt/labs/site")]


def _linked(binaries: Sequence[Binary], cache_dir: Path) -> list[Package]:
    return merged(*(programs_inside(binary, cache_dir) for binary in binaries))


def _kind_files(cache_dir: Path) -> Package:
    """kind's own scripts in the node come from its Go module."""
    from labsupport.cluster.kind import node_root

    version = "v" + versions.load().versions["kind"]
    texts = gomodules.texts_of(node_root.kind_files(cache_dir).parents[2])
    return Package(
        name="sigs.k8s.io/kind",
        version=version,
        purl=f"pkg:golang/sigs.k8s.io/kind@{version}",
        texts=texts,
        licence=recognise.expression(texts),
    )


def _debian_of_image(image: Path, packages: Mapping[str, str]) -> list[Package]:
    """The Debian packages of an image; their copyright files are read out of its layers."""
    release, architecture = courseroot.host_platform()
    scratch = Path(tempfile.mkdtemp(prefix=".copyrights-", dir=image.parent.parent))
    try:
        with tarfile.open(image) as outer:
            for member in outer:
                content = outer.extractfile(member) if member.name.endswith("/layer.tar") else None
                if content is not None:
                    with tarfile.open(fileobj=content, mode="r|") as layer:
                        _extract_copyrights(layer, scratch)
        return debian.unpacked(scratch, packages, architecture, release)
    finally:
        shutil.rmtree(scratch)


def _extract_copyrights(layer: tarfile.TarFile, target: Path) -> None:
    for member in layer:
        name = PurePosixPath(member.name)
        if not member.name.startswith(COPYRIGHTS) or ".." in name.parts:
            continue
        place = target / name
        if member.issym():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(member.linkname)
        elif member.isreg() and (content := layer.extractfile(member)) is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content.read())
