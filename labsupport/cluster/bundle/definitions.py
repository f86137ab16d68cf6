"""The part that the Gateway API's definitions are: all back ends need it, for the mesh."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from labsupport.cluster import gatewayapi, versions
from labsupport.cluster.bundle import archive
from labsupport.cluster.bundle.part import Part
from labsupport.cluster.gatewayapi import Held
from labsupport.cluster.licences import Package, gomodules, recognise
from labsupport.console import Phase


def definitions_part(held: Held, cache_dir: Path, backends: Iterable[str]) -> Part:
    """The definitions, one file alone in its archive."""

    def packages() -> Sequence[Package]:
        return [_package(held, cache_dir)]

    def make(target: Path, progress: Phase) -> None:
        archive.write_files(target, {gatewayapi.FILE: held.file})

    return Part(
        name=gatewayapi.NAME,
        kind="definitions",
        version=held.version,
        origin=held.origin,
        unofficial=held.origin
        != "release",  # the same objects either way, but taken out of a module they are no release
        key=held.sha256,
        size=held.file.stat().st_size,
        make=make,
        packages=packages,
        backends=tuple(sorted(backends)),
        content={"sha256": held.sha256},
    )


def _package(held: Held, cache_dir: Path) -> Package:
    """What it is listed as. The texts are the Go module's: the release's file has none."""
    source = versions.definitions(gatewayapi.NAME)
    texts = gomodules.texts_of(gatewayapi.module_directory(source, cache_dir, os.environ))
    return Package(
        name=source.package,
        version=f"v{held.version}",
        purl=f"pkg:golang/{source.package}@v{held.version}",
        texts=texts,
        licence=recognise.expression(texts),
        remark=f"{source.files} of it, as JSON.",
    )
