"""The course's images as one archive: the course root and the image catalogue, in the form that kind can load.

An entry means here what it means in an embedded cluster: what the embedded node binds into a container is a layer here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labsupport import paths
from labsupport.cluster.cachedir import explained_if_full, locked, remove_tree
from labsupport.cluster.images import PACKAGE, Catalogue, compile_entry, read_catalogue
from labsupport.cluster.kind import archive
from labsupport.console import phase
from labsupport.paths import private_directory

STEPS = 2  # raise it when the code below makes another archive from the same things
SOURCE = paths.REPOSITORY / "labsupport"
# What is mounted over anyway; and ldconfig's own notes, which hold inode numbers: no two trees have the same.
LEFT_OUT = ("proc/", "sys/", "dev/", "var/cache/ldconfig/")


@dataclass(frozen=True)
class CourseImages:
    """The archive, the names in it, and the digest of all that went into it (16 hexadecimal digits)."""

    archive: Path
    names: tuple[str, ...]
    key: str


def programs_of(catalogue: Catalogue) -> tuple[str, ...]:
    """Pinned programs that entries of the catalogue run."""
    return tuple(sorted({name for entry in catalogue.images.values() for name in entry.programs}))


def ensure(cache_dir: Path) -> CourseImages:
    """The course images, made if they are not in the cache. Safe to interrupt. LabsError where a part cannot be had."""
    from labsupport.cluster import binaries, courseroot
    from labsupport.cluster.embedded import idmap

    catalogue = read_catalogue()
    root = courseroot.ensure(cache_dir, owner_base=idmap.for_this_user().owner_base)
    programs = binaries.ensure(programs_of(catalogue), cache_dir=cache_dir)
    key = _key(catalogue, {name: program.digest for name, program in programs.items()})
    directory = cache_dir / "kind" / f"course-{key}"
    parent = private_directory(cache_dir / "kind")
    with locked(parent / "course.lock"):
        if not (directory / "manifest.json").exists():
            with explained_if_full(cache_dir), phase("course images"):
                files = {name: program.path for name, program in programs.items()}
                _make(directory, root.path, catalogue, files)
    names = tuple(json.loads((directory / "manifest.json").read_text())["names"])
    return CourseImages(directory / "images.tar", names, key)


def _key(catalogue: Catalogue, digests: Mapping[str, str]) -> str:
    from labsupport.cluster import courseroot

    parts = [STEPS, courseroot.digest(courseroot.load(), None), catalogue.model_dump(), dict(digests)]
    content = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for path in package_files():
        content.update(f"{path.relative_to(SOURCE)} {len(path.read_bytes())}\n".encode() + path.read_bytes())
    return content.hexdigest()[:16]


def package_files() -> list[Path]:
    """The files of the course's package."""
    return sorted(path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def belongs(name: str) -> bool:
    """Whether a path of a root directory goes into its layer."""
    return not name.startswith(LEFT_OUT)


def root_layer(target: Path, root: Path) -> archive.Layer:
    """The course root as a layer. Every file is root's, as it is in its packages but for a few."""
    return archive.layer_of(target, trees={"": root}, keep=belongs)


def images_of(
    catalogue: Catalogue, base: archive.Layer, package: archive.Layer, programs: Mapping[str, archive.Layer]
) -> list[archive.Image]:
    """Each entry of the catalogue as an image; a program's layer is looked up by "program:place"."""
    images = []
    for name, entry in sorted(catalogue.images.items()):
        compiled = compile_entry(name, entry, catalogue.defaults)
        layers = [base]
        layers += [package] if entry.package else []
        layers += [programs[f"{program}:{place}"] for program, place in sorted(entry.programs.items())]
        images.append(
            archive.Image(
                names=(name, *entry.aliases),
                layers=tuple(layers),
                entrypoint=entry.entrypoint,
                command=entry.command,
                env=compiled["env"],
                working_dir=entry.working_dir,
                user=str(entry.user) if entry.user else "",
                labels={"example.labs.name": name},
            )
        )
    return images


def _make(directory: Path, root: Path, catalogue: Catalogue, programs: Mapping[str, Path]) -> None:
    parent = directory.parent
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        base = root_layer(temporary / "root.layer", root)
        files: dict[str, Path | bytes] = {
            f"{PACKAGE.lstrip('/')}/labsupport/{path.relative_to(SOURCE)}": path for path in package_files()
        }
        package = archive.layer_of(temporary / "package.layer", files=files)
        layers = {
            f"{program}:{place}": archive.layer_of(
                temporary / f"{program}.layer", files={place.lstrip("/"): programs[program]}
            )
            for entry in catalogue.images.values()
            for program, place in entry.programs.items()
        }
        images = images_of(catalogue, base, package, layers)
        archive.write(temporary / "images.tar", images)
        for layer in temporary.glob("*.layer"):
            layer.unlink()
        names = sorted(name for image in images for name in image.names)
        (temporary / "manifest.json").write_text(json.dumps({"names": names}, indent=1) + "\n")
        for older in parent.glob("course-*"):  # quickly made, and of no use to a cluster that has them loaded
            remove_tree(older)
        temporary.rename(directory)
    except BaseException:
        remove_tree(temporary)
        raise
