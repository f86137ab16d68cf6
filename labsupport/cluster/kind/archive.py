"""Container images as files: layers and archives in the form that `docker load`, containerd and kind read.

The form is Docker's image specification 1.2 (an archive with manifest.json, one JSON for each image, one tar for each
layer). Everything that could differ between two runs is fixed: order, times, owners. Equal content is an equal digest.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from labsupport.cluster import versions

TIME = 1_790_812_800  # of every file in a layer; 2026-10-01, a time before which the clock cannot be
CREATED = "2026-10-01T00:00:00Z"
BLOCK = 1 << 20
LABEL = "example.labs.unofficial"
UNOFFICIAL = (
    "built on this machine from public packages and Go modules; not an image of the Kubernetes project"
)


@dataclass(frozen=True)
class Layer:
    """One layer: an uncompressed tar and its SHA-256, which is its diff id."""

    file: Path
    digest: str


@dataclass(frozen=True)
class Image:
    """One image: its names, its layers from the lowest, and what runs in it."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def configuration(self) -> bytes:
        """The image's JSON; its SHA-256 is the image's id."""
        config = {
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.command) or None,
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "WorkingDir": self.working_dir,
            "User": self.user,
            "StopSignal": self.stop_signal,
            "Labels": {LABEL: UNOFFICIAL, **self.labels},
        }
        content = {
            "architecture": versions.architecture(),
            "os": "linux",
            "created": CREATED,
            "config": {key: value for key, value in config.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in self.layers]},
            "history": [{"created": CREATED, "created_by": "labs"} for _ in self.layers],
        }
        return json.dumps(content, sort_keys=True).encode()


class _Hashed(io.RawIOBase):
    """A file to write to that digests what passes."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink
        self.digest = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._sink.write(data)


def layer_of(
    target: Path,
    *,
    trees: Mapping[str, Path] | None = None,
    files: Mapping[str, Path | bytes] | None = None,
    directories: Mapping[str, int] | None = None,
    keep: Callable[[str], bool] = lambda _: True,
) -> Layer:
    """Write a layer to `target`: whole trees and single files (0755) at their places, all owned by root.

    A tree at "" is the root directory. `keep` is asked for each path of a tree; what it refuses is left out with all
    below it. `directories`: further ones with their modes.
    """
    with target.open("wb") as sink:
        hashed = _Hashed(sink)
        with tarfile.open(fileobj=hashed, mode="w|", format=tarfile.GNU_FORMAT, bufsize=BLOCK) as archive:
            made: set[str] = set()
            for place, mode in sorted((directories or {}).items()):
                _parents(archive, place, made)
                _directory(archive, place, mode, made)
            for place, tree in sorted((trees or {}).items()):
                _parents(archive, place, made)
                _tree(archive, place, tree, keep, made)
            for place, source in sorted((files or {}).items()):
                _parents(archive, place, made)
                _file(archive, place, source)
    return Layer(target, hashed.digest.hexdigest())


def _entry(name: str, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = mode, TIME
    return entry


def _directory(archive: tarfile.TarFile, name: str, mode: int, made: set[str]) -> None:
    if name and name not in made:
        made.add(name)
        entry = _entry(name, mode)
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)


def _parents(archive: tarfile.TarFile, name: str, made: set[str]) -> None:
    for parent in reversed([str(path) for path in Path(name).parents if str(path) != "."]):
        _directory(archive, parent, 0o755, made)


def _file(archive: tarfile.TarFile, name: str, source: Path | bytes) -> None:
    entry = _entry(name, 0o755)
    if isinstance(source, bytes):
        entry.size = len(source)
        archive.addfile(entry, io.BytesIO(source))
        return
    entry.size = source.stat().st_size
    with source.open("rb") as content:
        archive.addfile(entry, content)


def _tree(
    archive: tarfile.TarFile, place: str, tree: Path, keep: Callable[[str], bool], made: set[str]
) -> None:
    links: dict[tuple[int, int], str] = {}
    pending = [(place, tree)]
    while pending:
        name, path = pending.pop()
        if name and not keep(name):
            continue
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            _directory(archive, name, stat.S_IMODE(status.st_mode), made)
            inside = [(f"{name}/{child.name}" if name else child.name, child) for child in path.iterdir()]
            pending += sorted(inside, reverse=True)
            continue
        entry = _entry(name, stat.S_IMODE(status.st_mode))
        if stat.S_ISLNK(status.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
            archive.addfile(entry)
        elif stat.S_ISREG(status.st_mode):
            first = links.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                entry.type, entry.linkname = tarfile.LNKTYPE, first
                archive.addfile(entry)
                continue
            entry.size = status.st_size
            with path.open("rb") as content:
                archive.addfile(entry, content)
        # Sockets, pipes and devices: what a tree in a cache has of them is left from its making.


def write(target: Path, images: Iterable[Image]) -> None:
    """Write an archive of images; a layer that several share is in it once."""
    listed = list(images)
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
        manifest, written = [], set()
        for image in listed:
            configuration = image.configuration()
            name = f"{hashlib.sha256(configuration).hexdigest()}.json"
            manifest.append(
                {
                    "Config": name,
                    "RepoTags": list(image.names),
                    "Layers": [f"{layer.digest}/layer.tar" for layer in image.layers],
                }
            )
            if name not in written:
                written.add(name)
                _member(archive, name, configuration)
        _member(archive, "manifest.json", json.dumps(manifest, sort_keys=True).encode())
        for layer in (layer for image in listed for layer in image.layers):
            if layer.digest not in written:
                written.add(layer.digest)
                entry = _entry(f"{layer.digest}/layer.tar", 0o644)
                entry.size = layer.file.stat().st_size
                with layer.file.open("rb") as content:
                    archive.addfile(entry, content)


def _member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = _entry(name, 0o644)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
