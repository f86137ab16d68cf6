"""The course root: a minimal Debian tree in the cache, unpacked from packages of pinned versions without
root.

`ensure` makes it or finds it made. Importing this module is cheap; what makes the root is imported when it is
needed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labsupport.errors import LabsError

from .description import Description, digest, host_platform, load

__all__ = ["CourseRoot", "Description", "digest", "ensure", "host_platform", "load"]


@dataclass(frozen=True)
class CourseRoot:
    """An unpacked course root. `python` is the interpreter's path inside it; `packages` maps package to
    version.
    """

    path: Path
    digest: str
    python: str
    packages: Mapping[str, str]
    deviations: tuple[str, ...] = ()


def ensure(cache_dir: Path, *, owner_base: int | None) -> CourseRoot:
    """Return the course root of this machine's release and architecture, made if it is not in the cache.

    `owner_base`: where set (only root can), the files belong to `owner_base` + their id in the packages, so
    that they belong to the node's users inside its user namespace; else they belong to the caller.
    Safe to interrupt and to call from several processes: the tree appears in one step, under a lock.
    LabsError when it is not there and cannot be made.
    """
    description = load()
    key = digest(description, owner_base)
    directory = cache_dir / "course-root" / key
    found = _read(directory, key)
    if found is not None:
        return found
    from labsupport.cluster.cachedir import explained_if_full  # only a cold cache pays for these imports

    from . import make

    if owner_base is not None and os.geteuid() != 0:
        raise LabsError(
            "only root can give the course root's files to other users", fix="pass owner_base=None"
        )
    with explained_if_full(cache_dir):
        make.make(cache_dir, directory, description, owner_base)
    made = _read(directory, key)
    if made is None:
        raise LabsError(
            f"the course root at {directory} is incomplete", fix=f"rm -r {directory}, then try again"
        )
    return made


def _read(directory: Path, key: str) -> CourseRoot | None:
    """The root at `directory`, if it is there: the manifest is written before the directory gets its name."""
    try:
        manifest = json.loads((directory / "manifest.json").read_bytes())
        return CourseRoot(
            path=directory / "root",
            digest=key,
            python=manifest["python"],
            packages=manifest["packages"],
            deviations=tuple(manifest["deviations"]),
        )
    except (FileNotFoundError, ValueError, KeyError):
        return None
