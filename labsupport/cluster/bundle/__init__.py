"""Offline bundles: all that a back end needs as files of one directory, made from package registries alone.

`make` writes one and returns its digest; `install` fills the cache of a machine that reaches nothing from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from labsupport.cluster.bundle.install import Installed, install
from labsupport.cluster.bundle.making import Made
from labsupport.cluster.bundle.part import Part

__all__ = ["Installed", "Made", "Part", "collect", "install", "make"]


def collect(cache_dir: Path, backends: Iterable[str]) -> list[Part]:
    """The parts that the back ends need, each thing found, fetched or built first if the cache does not have it."""
    from labsupport.cluster import binaries, courseroot, gatewayapi
    from labsupport.cluster.bundle import definitions, embedded, needs
    from labsupport.cluster.embedded import idmap

    chosen = tuple(backends)
    users = needs.all_programs(chosen)
    programs = binaries.ensure(users, cache_dir=cache_dir)
    root = courseroot.ensure(cache_dir, owner_base=idmap.for_this_user().owner_base)
    parts = [embedded.program_part(programs[name], cache_dir, users[name]) for name in users]
    parts.append(embedded.course_root_part(root, chosen))
    parts.append(definitions.definitions_part(gatewayapi.held(cache_dir), cache_dir, chosen))
    if "kind" in chosen:
        from labsupport.cluster.bundle import kind

        parts += kind.parts(cache_dir, programs, root)
    return parts


def make(directory: Path, cache_dir: Path, backends: Iterable[str]) -> Made:
    """Make or renew the bundle in `directory` for the back ends named; see `making.make`."""
    from labsupport.cluster.bundle.making import make as write

    return write(directory, collect(cache_dir, backends), cache_dir / "bundle.lock")
