"""What the cache holds, what of it is needed, and how to give the rest back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster import courseroot, directory, gatewayapi, versions
from labsupport.cluster.cachedir import locked, remove_tree, size_of
from labsupport.cluster.embedded import idmap
from labsupport.errors import LabsError

LOCKS = (
    "bin/lock",
    f"{gatewayapi.NAME}/lock",
    "course-root/lock",
    "kind/node.lock",
    "kind/course.lock",
    "vm/lock",
)  # held by whoever fills these directories


@dataclass(frozen=True)
class Item:
    """One thing in the cache. `needed`: the next `up`, or a cluster that there is, uses it."""

    path: Path
    what: str
    size: int  # bytes on the disk
    needed: bool


def contents(cache: Path) -> list[Item]:
    """Everything in the cache directory that has a size."""
    return [Item(path, what, size_of(path), needed) for path, what, needed in _known(cache) if path.is_dir()]


def prune(cache: Path) -> list[Item]:
    """Remove what is not needed and return it; waits for a run that is filling the cache."""
    with ExitStack() as stack:
        for name in LOCKS:
            if (cache / name).parent.is_dir():
                stack.enter_context(locked(cache / name))
        removed = [item for item in contents(cache) if not item.needed]
        for item in removed:
            remove_tree(item.path)
    return removed


def _known(cache: Path) -> Iterator[tuple[Path, str, bool]]:
    known = versions.load()
    # The end of the name is a digest: a program of the right version is needed, however it came here.
    current, suites = (
        tuple(
            f"{name}-{versions.program(name, known).version}-"
            for name, entry in known.programs.items()
            if (entry.backend == "conformance") is of_suites
        )
        for of_suites in (False, True)
    )
    for path in sorted((cache / "bin").glob("*-*")):
        what = "program of labs conformance" if path.name.startswith(suites) else "program"
        yield path, what, path.name.startswith(current)
    roots = {_root_of_this_user(cache), *_roots_in_use()}
    for path in sorted((cache / "course-root").glob("[!.]*")):
        what = "test root of labs conformance" if path.name.startswith("tests-") else "course root"
        yield path, what, path in roots
    for path in sorted((cache / gatewayapi.NAME).glob("[!.]*/")):
        yield path, "definitions of the Gateway API", path == gatewayapi.place(cache)
    for kind, what in (("node", "kind node image"), ("course", "course images for kind")):
        made = sorted((cache / "kind").glob(f"{kind}-*/"), key=lambda path: path.stat().st_mtime)
        for path in made:
            # Which one the next `up` takes depends on much; it is nearly always the newest, and the others are large.
            yield path, what, path == made[-1]
    for path in sorted((cache / "vm").glob("*/")):
        # A name with a point is a run's: a killed one left it, or QEMU has open what goes on without a name.
        what = "run of a virtual machine" if path.name.startswith(".") else "virtual machine of make vm"
        yield path, what, False
    for path in sorted((cache / "uv").glob("[!.]*")):
        yield path, "environment maker", True
    yield cache / "build", "scratch of builds", False
    yield cache / "downloads", "downloads", False


def _root_of_this_user(cache: Path) -> Path | None:
    try:
        return cache / "course-root" / courseroot.digest(courseroot.load(), idmap.for_this_user().owner_base)
    except LabsError:
        return None  # none is made for this machine


def _roots_in_use() -> Iterator[Path]:
    """The course roots on which clusters run or would be restarted."""
    for name in directory.existing():
        try:
            settings = json.loads((directory.ClusterDirectory(name).root / "launch.json").read_text())
            yield Path(settings["course_root"]).parent
        except (OSError, ValueError, KeyError):
            continue  # never started
