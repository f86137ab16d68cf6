"""A bundle's list of what is in it: manifest.json. Its SHA-256 is the bundle's digest, since it names all others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from labsupport.errors import LabsError

NAME = "manifest.json"
FORMAT = 1  # raised when an older `labs` could not use the bundle
LARGEST = 16 << 20  # bytes of a manifest: a wrong file should not be read whole
ANCHOR = "bundle"

FileName = Annotated[str, Field(pattern=r"^[a-z0-9][A-Za-z0-9._+-]{0,120}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Strict):
    """One file of the bundle."""

    file: FileName
    sha256: Sha256
    size: int = Field(ge=0)


class PartEntry(_Strict):
    """One part: its archive, its SBOM and its licence texts, and what is known of it. `unpacked` is in bytes."""

    name: FileName
    kind: Literal["program", "course-root", "image", "wheels", "definitions"]
    version: str
    origin: str
    unofficial: bool
    key: str
    unpacked: int = Field(ge=0)
    backends: tuple[str, ...]
    content: dict[str, Any]
    archive: Entry
    sbom: Entry
    licences: Entry

    def files(self) -> tuple[Entry, Entry, Entry]:
        """All files of the part."""
        return self.archive, self.sbom, self.licences


class Manifest(_Strict):
    """The whole list."""

    format: int
    architecture: str
    parts: tuple[PartEntry, ...]

    @model_validator(mode="after")
    def _names_are_single(self) -> Manifest:
        names = [entry.file for part in self.parts for entry in part.files()]
        if len(set(names)) != len(names) or NAME in names:
            raise ValueError("two entries name the same file")
        return self

    def files(self) -> Iterator[Entry]:
        """Every file of the bundle but the manifest."""
        for part in self.parts:
            yield from part.files()


def encode(manifest: Manifest) -> bytes:
    """The manifest's bytes; the same for equal manifests."""
    return (json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True) + "\n").encode()


def digest_of(content: bytes) -> str:
    """A bundle's digest, as it is printed: "sha256:" and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def read(directory: Path) -> tuple[Manifest, str]:
    """The manifest of a bundle's directory and its digest. LabsError when there is none that can be used."""
    path = directory / NAME
    try:
        if path.stat().st_size > LARGEST:
            raise LabsError(f"{path} is too large for the list of a bundle", anchor=ANCHOR)
        content = path.read_bytes()
    except OSError as error:
        raise LabsError(
            f"{directory} is no bundle: {path.name}: {error.strerror}",
            fix="`labs bundle --output DIR` makes one on a machine with a network",
            anchor=ANCHOR,
        ) from error
    return parse(content, path), digest_of(content)


def parse(content: bytes, path: Path) -> Manifest:
    """Read a manifest's bytes. LabsError names what is wrong with them."""
    try:
        raw = json.loads(content)
        if isinstance(raw, dict) and isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
            raise LabsError(
                f"{path} was made by a newer version of this course (format {raw['format']}, known is {FORMAT})",
                fix="update this clone, or make the bundle with its version",
                anchor=ANCHOR,
            )
        return Manifest.model_validate(raw)
    except (ValueError, ValidationError) as error:
        first = str(error).splitlines()[:3]
        raise LabsError(
            f"{path} is damaged: {' '.join(line.strip() for line in first)}",
            fix="copy the bundle again",
            anchor=ANCHOR,
        ) from error
