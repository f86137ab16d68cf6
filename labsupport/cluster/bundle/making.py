"""Makes a bundle: every part's archive, its SBOM, its licence texts, and the list that names them all."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster import versions
from labsupport.cluster.bundle import archive, manifest
from labsupport.cluster.bundle.manifest import Entry, Manifest, PartEntry
from labsupport.cluster.bundle.part import Part
from labsupport.cluster.cachedir import explained_if_full, locked
from labsupport.cluster.licences import require_texts, spdx
from labsupport.console import phase
from labsupport.errors import LabsError

STEPS = 3  # raise it when the code of this room writes other bytes from the same things
NEW = ".labs-new-"  # begins the names of files that are being written
MARGIN = 64 << 20  # bytes beside the archives
RATIO = 0.45  # an archive's size against its content's; programs come to 0.32, the course root to 0.4
PURPOSES = {
    "program": "APPLICATION",
    "course-root": "OPERATING-SYSTEM",
    "image": "CONTAINER",
    "wheels": "ARCHIVE",
    "definitions": "FILE",
}
UNOFFICIAL = (
    "Unofficial build: made for this course from packages of public registries; no release of the projects whose "
    "software it holds, and not endorsed by them."
)
OFFICIAL = "The project's own release, unchanged."


@dataclass(frozen=True)
class Made:
    """A bundle that is complete: its digest, its list, the seconds each part took, and which parts were kept."""

    digest: str
    manifest: Manifest
    seconds: dict[str, float]
    kept: tuple[str, ...]


def make(directory: Path, parts: Sequence[Part], lock: Path) -> Made:
    """Write the bundle of `parts` into `directory`, which is new, empty, or has an older bundle.

    May be interrupted and run again: what is complete and from the same input is kept. LabsError for a directory that
    holds something else, a full disk, or a part without licence texts.
    """
    with locked(lock), explained_if_full(directory):
        known = _prepare(directory)
        old = {part.name: part for part in known.parts} if known else {}
        kept = [part.name for part in parts if _may_stay(part, old.get(part.name), directory)]
        _require_space(directory, [part for part in parts if part.name not in kept])
        names = {part.name for part in parts}
        entries = {name: entry for name, entry in old.items() if name in names}
        seconds = {}
        for part in parts:
            began = time.monotonic()
            entries[part.name] = (
                _described(part, *old[part.name].files())
                if part.name in kept
                else _write_part(part, directory)
            )
            # After each part: an interrupted run has less to do again.
            listing = _write_list(directory, [entries[name] for name in sorted(entries)])
            seconds[part.name] = round(time.monotonic() - began, 2)
        wanted = {entry.file for entry in listing.files()}
        for entry in known.files() if known else ():
            if entry.file not in wanted:
                (directory / entry.file).unlink(missing_ok=True)
    return Made(manifest.digest_of(manifest.encode(listing)), listing, seconds, tuple(kept))


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def key_of(part: Part) -> str:
    """What the list keeps of a part's input."""
    return hashlib.sha256(
        f"{STEPS} {part.version} {part.key} {part.unofficial} {part.origin}".encode()
    ).hexdigest()[:32]


def _prepare(directory: Path) -> Manifest | None:
    """Make the directory or find an older bundle in it."""
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.glob(f"{NEW}*"):
        leftover.unlink()
    if (directory / manifest.NAME).exists():
        try:
            return manifest.read(directory)[0]
        except LabsError as error:
            raise LabsError(
                f"{directory} holds a bundle that cannot be read: {error.what}",
                fix=f"remove {directory}, or give another directory",
            ) from error
    if any(directory.iterdir()):
        raise LabsError(f"{directory} is not empty and holds no bundle", fix="give a new directory")
    return None


def _may_stay(part: Part, entry: PartEntry | None, directory: Path) -> bool:
    """Whether an older run made this part from the same input, and its files are whole."""
    if entry is None or entry.key != key_of(part):
        return False
    for file in entry.files():
        path = directory / file.file
        if not path.is_file() or path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            return False
    return True


def _require_space(directory: Path, parts: Sequence[Part]) -> None:
    needed = int(sum(part.size for part in parts) * RATIO) + MARGIN
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise LabsError(
            f"the bundle needs about {needed >> 20} MB under {directory}; {free >> 20} MB are free",
            fix="free some space, or give a directory on another disk",
            anchor="disk-space",
        )


def _write_part(part: Part, directory: Path) -> PartEntry:
    with phase(f"bundle: {part.name}") as progress:
        name = f"{part.name}-{part.version}{part.suffix}"
        archived = _write(directory, name, lambda target: part.make(target, progress))
        progress.update("licences")
        packages = require_texts(part.name, list(part.packages()))
        texts = {
            f"{spdx.directory_of(package)}/{text.name}": text.content
            for package in packages
            for text in package.texts
        }
        licences = _write(
            directory,
            f"{part.name}-{part.version}.licences.tar.gz",
            lambda target: archive.write_files(target, texts),
        )
        document = spdx.document(
            name=part.name,
            version=part.version,
            file=archived.file,
            sha256=archived.sha256,
            purpose=PURPOSES[part.kind],
            remark=UNOFFICIAL if part.unofficial else OFFICIAL,
            texts=licences.file,
            packages=packages,
        )
        sbom = _write(
            directory, f"{part.name}-{part.version}.spdx.json", lambda target: spdx.write(target, document)
        )
    return _described(part, archived, sbom, licences)


def _write(directory: Path, name: str, write: Callable[[Path], object]) -> Entry:
    """Let `write` write a file under another name, and give it its own when it is complete."""
    temporary = directory / f"{NEW}{name}"
    try:
        write(temporary)
        temporary.chmod(0o644)
        entry = Entry(file=name, sha256=sha256_of(temporary), size=temporary.stat().st_size)
        temporary.replace(directory / name)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return entry


def _described(part: Part, archived: Entry, sbom: Entry, licences: Entry) -> PartEntry:
    return PartEntry(
        name=part.name,
        kind=part.kind,
        version=part.version,
        origin=part.origin,
        unofficial=part.unofficial,
        key=key_of(part),
        unpacked=part.size,
        backends=part.backends,
        content=dict(part.content),
        archive=archived,
        sbom=sbom,
        licences=licences,
    )


def _write_list(directory: Path, entries: Sequence[PartEntry]) -> Manifest:
    listing = Manifest(format=manifest.FORMAT, architecture=versions.architecture(), parts=tuple(entries))
    _write(directory, manifest.NAME, lambda target: target.write_bytes(manifest.encode(listing)))
    return listing
