"""Parts of a bundle that are made in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from labsupport.cluster.bundle import archive
from labsupport.cluster.bundle.making import Made
from labsupport.cluster.bundle.part import Part
from labsupport.cluster.licences import Package, Text
from labsupport.console import Phase

Maker = Callable[..., Made]
PROGRAM = b"#!/bin/sh\necho a program\n" * 50


def package(name: str = "example.org/thing", *, texts: bool = True) -> Package:
    return Package(
        name=name,
        version="v1.0.0",
        purl=f"pkg:golang/{name}@v1.0.0",
        texts=(Text("LICENSE", b"Permission is hereby granted"),) if texts else (),
        licence="MIT",
        relation="STATIC_LINK",
    )


def program(
    name: str, version: str = "1.2.3", *, content: bytes = PROGRAM, packages: tuple[Package, ...] = ()
) -> Part:
    def write(target: Path, progress: Phase) -> None:
        archive.write_files(target, {name: content}, mode=0o755)

    sha256 = hashlib.sha256(content).hexdigest()
    return Part(
        name=name,
        kind="program",
        version=version,
        origin="built",
        unofficial=True,
        key=sha256,
        size=len(content),
        make=write,
        packages=lambda: packages or (package(),),
        backends=("embedded",),
        content={"sha256": sha256},
    )
