"""Fills the cache from a bundle, as if its parts had been fetched: then nothing is asked of any network.

Everything is checked before the first byte is unpacked: the list against the digest that the user gives, each file
that is going to be used against the list.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from labsupport.cluster import courseroot, gatewayapi, versions
from labsupport.cluster.binaries import Origin, store
from labsupport.cluster.bundle import archive, manifest, needs
from labsupport.cluster.bundle.making import sha256_of
from labsupport.cluster.bundle.manifest import Manifest, PartEntry
from labsupport.cluster.cachedir import explained_if_full, locked, remove_tree
from labsupport.cluster.courseroot import finish
from labsupport.cluster.courseroot import make as courseroot_make
from labsupport.console import phase
from labsupport.errors import LabsError
from labsupport.paths import private_directory

ORIGIN: Origin = "bundle"
MARGIN = 64 << 20  # bytes that stay free beside what is unpacked
AGAIN = "copy the bundle again; if it stays, its maker's disk or the transfer is at fault"


@dataclass(frozen=True)
class Installed:
    """What `install` did: the bundle's digest, the parts it unpacked, and those that the cache had."""

    digest: str
    unpacked: tuple[str, ...]
    present: tuple[str, ...]


class _Content(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class ProgramContent(_Content):
    """What the list says of a program beside what it says of every part."""

    sha256: manifest.Sha256


class RootContent(_Content):
    """What the list says of the course root."""

    release: str
    architecture: str
    digest: str
    python: str = Field(pattern=r"^/usr/bin/python3\.\d+$")
    packages: dict[str, str]
    deviations: list[str]


class DefinitionsContent(_Content):
    """What the list says of the Gateway API's definitions."""

    sha256: manifest.Sha256


class ImageContent(_Content):
    """What the list says of an archive of images: where the back end kind looks for it."""

    place: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$")
    file: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,60}$")
    manifest: dict[str, object]


def install(
    directory: Path, digest: str | None, cache_dir: Path, *, backend: str, owner_base: int | None
) -> Installed:
    """Unpack what `backend` needs and the cache does not have.

    `digest`: what `labs bundle` printed; None checks the bundle against its own list only. `owner_base`: as for
    `courseroot.ensure`. LabsError, with nothing unpacked, when the digest is another one, a file is missing or not
    what the list says, an archive holds what it must not, or the bundle is for another machine or version.
    """
    listing, found = manifest.read(directory)
    if digest is not None and digest.removeprefix("sha256:").lower() != found.removeprefix("sha256:"):
        raise LabsError(
            f"{directory} is not the bundle that you mean: its digest is {found}, you gave {digest}",
            fix="compare with what `labs bundle` printed where it was made, then copy the bundle again",
            anchor=manifest.ANCHOR,
        )
    if listing.architecture != versions.architecture():
        raise LabsError(
            f"{directory} is for {listing.architecture}, this machine is {versions.architecture()}",
            fix="make a bundle on a machine of this kind",
            anchor=manifest.ANCHOR,
        )
    parts = needs.required(listing, backend, directory)
    _require_files(directory, listing)
    for part in parts:
        _read_content(part)
    with explained_if_full(cache_dir):
        wanted = [part for part in parts if not _is_cached(part, cache_dir, owner_base)]
        _require_space(cache_dir, wanted)
        with ExitStack() as stack:
            with phase("bundle: checking it") as progress:
                files: dict[str, IO[bytes]] = {}
                for part in wanted:
                    progress.update(part.name)
                    files[part.name] = stack.enter_context(_verified(directory, part))
            for part in wanted:
                with phase(f"bundle: unpacking {part.name}"):
                    INSTALLERS[part.kind](part, files[part.name], cache_dir, owner_base)
    names = tuple(part.name for part in wanted)
    return Installed(found, names, tuple(part.name for part in parts if part.name not in names))


def _require_files(directory: Path, listing: Manifest) -> None:
    """Every file that the list names is there in full length, whether it is needed now or not."""
    for entry in listing.files():
        path = directory / entry.file
        if not path.is_file():
            raise _damaged(f"{path} is missing")
        if path.stat().st_size != entry.size:
            raise _damaged(f"{path} has {path.stat().st_size} bytes, the list says {entry.size}")


def _verified(directory: Path, part: PartEntry) -> IO[bytes]:
    """A part's archive, opened and found to be what the list says; it is unpacked through this very handle."""
    for entry in (part.sbom, part.licences):
        if sha256_of(directory / entry.file) != entry.sha256:
            raise _damaged(f"{directory / entry.file} is not the file that the list names")
    path = directory / part.archive.file
    file = path.open("rb")
    try:
        if hashlib.file_digest(file, "sha256").hexdigest() != part.archive.sha256:
            raise _damaged(f"{path} is not the file that the list names")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _damaged(what: str) -> LabsError:
    return LabsError(f"{what}.", fix=AGAIN, anchor=manifest.ANCHOR)


Content = ProgramContent | RootContent | ImageContent | DefinitionsContent


def _read_content(part: PartEntry) -> Content:
    kinds: dict[str, type[Content]] = {
        "program": ProgramContent,
        "course-root": RootContent,
        "image": ImageContent,
        "definitions": DefinitionsContent,
    }
    try:
        return kinds[part.kind].model_validate(part.content)
    except (ValidationError, KeyError) as error:
        raise _damaged(f"what the list says of {part.name} cannot be used: {error}") from None


def _is_cached(part: PartEntry, cache_dir: Path, owner_base: int | None) -> bool:
    content = _read_content(part)
    if isinstance(content, ProgramContent):
        return store.find(cache_dir, part.name, part.version)[0] is not None
    if isinstance(content, DefinitionsContent):
        return gatewayapi.in_cache(cache_dir) is not None
    if isinstance(content, RootContent):
        return (_root_directory(cache_dir, owner_base) / "manifest.json").exists()
    return (cache_dir / "kind" / content.place / "manifest.json").exists()


def _root_directory(cache_dir: Path, owner_base: int | None) -> Path:
    """Where `courseroot.ensure` looks on this machine, whose release may be another one than the bundle's."""
    return cache_dir / "course-root" / courseroot.digest(courseroot.load(), owner_base)


def _require_space(cache_dir: Path, parts: Sequence[PartEntry]) -> None:
    needed = sum(part.unpacked for part in parts) + MARGIN
    free = shutil.disk_usage(cache_dir).free
    if parts and free < needed:
        raise LabsError(
            f"the bundle's parts take {needed >> 20} MB under {cache_dir}; {free >> 20} MB are free",
            fix="free some space (labs cache --prune removes what is not needed), or set XDG_CACHE_HOME",
            anchor="disk-space",
        )


def _install_program(part: PartEntry, file: IO[bytes], cache_dir: Path, owner_base: int | None) -> None:
    content = ProgramContent.model_validate(part.content)
    parent = private_directory(cache_dir / "bin")
    with locked(parent / "lock"), tempfile.TemporaryDirectory(dir=parent, prefix=".new-") as scratch:
        target = Path(scratch, part.name)
        archive.unpack_one(file, part.name, target, limit=part.unpacked)
        if sha256_of(target) != content.sha256:
            raise _damaged(f"{part.name} in its archive is not the program that the list names")
        store.install(
            cache_dir,
            target,
            name=part.name,
            version=part.version,
            origin=ORIGIN,
            unofficial=part.unofficial,
        )


def _install_root(part: PartEntry, file: IO[bytes], cache_dir: Path, owner_base: int | None) -> None:
    content = RootContent.model_validate(part.content)
    host = courseroot.host_platform()[0]
    deviations = list(content.deviations)
    if host != content.release:
        deviations.append(f"from a bundle of {content.release}, this machine is {host}")

    def fill(temporary: Path) -> None:
        root = temporary / "root"
        root.mkdir(mode=0o755)
        archive.unpack_tree(file, root, limit=part.unpacked)
        if owner_base is not None:
            finish.give_to(root, owner_base)
        made = {
            "release": content.release,
            "architecture": content.architecture,
            "python": content.python,
            "owner_base": owner_base,
            "packages": content.packages,
            "deviations": deviations,
            "origin": ORIGIN,
        }
        (temporary / "manifest.json").write_text(json.dumps(made, indent=1) + "\n")

    courseroot_make.in_one_step(_root_directory(cache_dir, owner_base), fill)


def _install_image(part: PartEntry, file: IO[bytes], cache_dir: Path, owner_base: int | None) -> None:
    content = ImageContent.model_validate(part.content)
    parent = private_directory(cache_dir / "kind")
    directory = parent / content.place
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        archive.decompress(file, temporary / content.file, limit=part.unpacked)
        (temporary / "manifest.json").write_text(json.dumps(content.manifest, indent=1) + "\n")
        if directory.exists():
            remove_tree(directory)
        temporary.rename(directory)
    except BaseException:
        remove_tree(temporary)
        raise


def _install_definitions(part: PartEntry, file: IO[bytes], cache_dir: Path, owner_base: int | None) -> None:
    parent = private_directory(cache_dir / gatewayapi.NAME)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".new-") as scratch:
        target = Path(scratch, gatewayapi.FILE)
        archive.unpack_one(file, gatewayapi.FILE, target, limit=part.unpacked)
        gatewayapi.keep(cache_dir, target.read_bytes(), ORIGIN)


INSTALLERS: dict[str, Callable[[PartEntry, IO[bytes], Path, int | None], None]] = {
    "program": _install_program,
    "course-root": _install_root,
    "image": _install_image,
    "definitions": _install_definitions,
}
