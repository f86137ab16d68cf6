"""Which parts a back end needs, and whether a bundle has them in the versions that this clone expects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from labsupport.cluster import courseroot, gatewayapi, versions
from labsupport.cluster.binaries import Binary
from labsupport.cluster.bundle.manifest import ANCHOR, Manifest, PartEntry
from labsupport.cluster.embedded import prepare
from labsupport.cluster.images import read_catalogue
from labsupport.errors import LabsError

COURSE_ROOT = "course-root"
NODE_IMAGE = "kind-node-image"
IMAGES = ("course-images", NODE_IMAGE)


def programs(backend: str) -> tuple[str, ...]:
    """The programs that a back end asks for."""
    if backend == "kind":
        from labsupport.cluster.kind import images, node_image

        # All of both archives' as well: their keys, by which they are found in the cache, are made from their digests.
        inside = (*node_image.PROGRAMS, *images.programs_of(read_catalogue()))
        return tuple(dict.fromkeys(("kind", "kubectl", *inside)))
    return (*prepare.PROGRAMS, "kubectl")


def all_programs(backends: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each program that any of the back ends needs, with those that need it, in the order of versions.toml."""
    wanted = {backend: programs(backend) for backend in backends}
    return {
        name: users
        for name in versions.load().programs
        if (users := tuple(backend for backend, names in wanted.items() if name in names))
    }


def required(listing: Manifest, backend: str, directory: Path) -> list[PartEntry]:
    """The parts of a bundle that `backend` needs. LabsError names what is missing or of another version."""
    there = {part.name: part for part in listing.parts}
    names = [*programs(backend), COURSE_ROOT, gatewayapi.NAME, *(IMAGES if backend == "kind" else ())]
    missing = [name for name in names if name not in there or backend not in there[name].backends]
    if missing:
        raise LabsError(
            f"{directory} lacks what the back end {backend} needs: {', '.join(missing)}",
            fix=f"make it with `labs bundle --output DIR --backend {backend}`, and let it run to its end",
            anchor=ANCHOR,
        )
    other = []
    for name in programs(backend):
        expected = versions.program(name).version
        if there[name].version != expected:
            other.append(f"{name} {there[name].version} (needed is {expected})")
    definitions = versions.definitions(gatewayapi.NAME)
    if there[gatewayapi.NAME].content.get("sha256") != definitions.sha256:
        other.append(f"{gatewayapi.NAME} {there[gatewayapi.NAME].version} (needed is {definitions.version})")
    content = there[COURSE_ROOT].content
    release, architecture = str(content.get("release")), str(content.get("architecture"))
    here = courseroot.digest(courseroot.load(target=(release, architecture)), None)
    if content.get("digest") != here:
        other.append("a course root that is described differently")
    if backend == "kind" and there[NODE_IMAGE].content.get("place") != _node_place(there):
        other.append("a node image that is described differently")
    if other:
        raise LabsError(
            f"{directory} was made by another version of this course; it has {', '.join(other)}",
            fix="make a bundle with this version, or use the version that made it",
            anchor=ANCHOR,
        )
    return [there[name] for name in names]


def _node_place(there: Mapping[str, PartEntry]) -> str:
    """Where this clone's back end looks for the node image made from the bundle's programs."""
    from labsupport.cluster.kind import node_image

    made_from = {
        name: Binary(
            name=name,
            version=there[name].version,
            path=Path(name),
            origin="bundle",
            unofficial=there[name].unofficial,
            digest=str(there[name].content.get("sha256")),
        )
        for name in node_image.PROGRAMS
    }
    description = courseroot.load(node_image.DEFINITION, name="node-root")
    return f"node-{node_image.key_of(description, made_from)}"
