"""The image service: names from the catalogue, and a clear word about every other name.

The catalogue is compiled on the host (labsupport.cluster.images). "Pulled" is only remembered, so that the kubelet's
pull policies and events behave as everywhere.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import Fault


@dataclass(frozen=True)
class Image:
    """One catalogue entry: how a container of that name is run.

    `binds` are (source on the node, target in the container), shown read-only. `layers` are directories of the node
    that lie over the course root, the uppermost first. `digest` is the image's id.
    """

    name: str
    digest: str
    aliases: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    working_dir: str = "/"
    user: int = 0
    binds: tuple[tuple[str, str], ...] = ()
    size: int = 1
    layers: tuple[str, ...] = ()


def read_catalogue(path: Path) -> dict[str, Image]:
    """The compiled catalogue by image name."""
    images = {}
    for name, entry in json.loads(path.read_text())["images"].items():
        images[name] = Image(
            name=name,
            digest=entry["digest"],
            aliases=tuple(entry.get("aliases", ())),
            entrypoint=tuple(entry.get("entrypoint", ())),
            command=tuple(entry.get("command", ())),
            env=dict(entry.get("env", {})),
            working_dir=entry.get("working_dir", "/"),
            user=entry.get("user", 0),
            binds=tuple((bind["source"], bind["target"]) for bind in entry.get("binds", ())),
            size=entry.get("size", 1),
            layers=tuple(entry.get("layers", ())),
        )
    return images


class Images:
    """The catalogue and which of its names were pulled."""

    def __init__(self, catalogue: Path, memory: Path) -> None:
        """`memory` is the file that keeps the pulled names over restarts."""
        self._catalogue, self._memory = catalogue, memory
        self._lock = threading.Lock()
        self._stamp = 0
        self._images: dict[str, Image] = {}
        try:
            self._pulled = set(json.loads(memory.read_text()))
        except (OSError, ValueError):
            self._pulled = set()

    def all(self) -> dict[str, Image]:
        """The catalogue, read again when its file has changed."""
        stamp = self._catalogue.stat().st_mtime_ns
        with self._lock:
            if stamp != self._stamp:
                self._images = read_catalogue(self._catalogue)
                self._stamp = stamp
            return self._images

    def find(self, reference: str) -> Image | None:
        """The image that a name, a name with digest, or a digest means."""
        images = self.all()
        name, _, digest = reference.partition("@")
        if name in images and digest in ("", images[name].digest):
            return images[name]
        for image in images.values():
            if reference == image.digest or (digest and digest == image.digest and _same_name(name, image)):
                return image
            if not digest and name in image.aliases:
                return image
        return None

    def find_or_refuse(self, reference: str) -> Image:
        """As `find`; an unknown name raises NOT_FOUND, which becomes the Pod's ErrImagePull event."""
        image = self.find(reference)
        if image is None:
            raise Fault(
                grpc.StatusCode.NOT_FOUND,
                f'image "{reference}" is not in this cluster\'s catalogue: this cluster pulls nothing; '
                "`labs images` lists what it has",
            )
        return image

    def pulled(self) -> list[Image]:
        """The images that a node with a registry would have on its disk."""
        return [image for name, image in sorted(self.all().items()) if name in self._pulled]

    def is_pulled(self, image: Image) -> bool:
        """Whether the image was pulled and not removed since."""
        return image.name in self._pulled

    def pull(self, reference: str) -> Image:
        """Remember the image as pulled; raises NOT_FOUND for an unknown name."""
        image = self.find_or_refuse(reference)
        self._remember(self._pulled | {image.name})
        return image

    def remove(self, reference: str) -> None:
        """Forget the image; an unknown one is ignored, as the CRI says."""
        if image := self.find(reference):
            self._remember(self._pulled - {image.name})

    def _remember(self, names: set[str]) -> None:
        with self._lock:
            if names != self._pulled:
                self._pulled = names
                new = self._memory.with_suffix(".new")
                new.write_text(json.dumps(sorted(names)))
                os.replace(new, self._memory)  # noqa: PTH105


def _same_name(name: str, image: Image) -> bool:
    return image.name.rpartition(":")[0] == name or image.name == name


def to_cri(image: Image) -> cri.Image:
    """The image as the kubelet reads it; the uid serves its check of runAsNonRoot."""
    repository = image.name.rpartition(":")[0]
    return cri.Image(
        id=image.digest,
        repo_tags=[image.name, *image.aliases],
        repo_digests=[f"{repository}@{image.digest}"],
        size=image.size,
        uid=cri.Int64Value(value=image.user),
        spec=cri.ImageSpec(image=image.digest),
    )
