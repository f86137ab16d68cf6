"""Reads from a Go program which modules it was linked from, as `go version -m` does, without Go.

Format: Go's debug/buildinfo, from Go 1.18 on: at a multiple of 16 bytes in the file stands a magic word, flags at byte
15, and from byte 32 two strings with their lengths before them (unsigned LEB128): Go's version and the module list,
the latter between two marks of 16 bytes.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\xff Go buildinf:"
ALIGNMENT = 16
INLINE = 2  # flag: the strings follow in place
MARK = 16
WORKING_TREE = "(devel)"  # the version that Go gives a module of the tree it builds in


@dataclass(frozen=True)
class Module:
    """A module's path and version, and its digest as go.sum has it ("" for one of a working tree)."""

    path: str
    version: str
    digest: str


@dataclass(frozen=True)
class BuildInformation:
    """Go's version without "go", the package built, its module's path, and every module that something is linked of."""

    go: str
    package: str
    main: str
    modules: tuple[Module, ...]


def read(program: Path) -> BuildInformation:
    """The build information of a Go program. ValueError when it has none."""
    with program.open("rb") as file:
        if program.stat().st_size < ALIGNMENT:
            raise ValueError(f"{program} is no Go program")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(MAGIC)
            while at >= 0:
                if at % ALIGNMENT == 0 and content[at + 15] & INLINE:
                    try:
                        return _parse(content, at + 32)
                    except (ValueError, IndexError):
                        pass  # the magic word also occurs as data, in programs that read others' information
                at = content.find(MAGIC, at + 1)
    raise ValueError(f"{program} has no build information of Go")


def _parse(content: mmap.mmap, at: int) -> BuildInformation:
    version, at = _string(content, at)
    listing, _ = _string(content, at)
    if not version.startswith(b"go") or len(listing) < 2 * MARK:
        raise ValueError("not build information")
    return parse_listing(version.decode(), listing[MARK:-MARK].decode())


def parse_listing(version: str, listing: str) -> BuildInformation:
    """The lines `path`, `mod`, `dep` and `=>` (what replaces the one before), fields separated by tabs."""
    package, main, modules = "", "", list[Module]()
    for line in listing.splitlines():
        kind, *fields = line.split("\t")
        if kind == "path":
            package = fields[0]
        elif kind in ("mod", "dep"):
            modules.append(_module(fields))
            main = modules[-1].path if kind == "mod" else main
        elif kind == "=>":
            replacement = _module(fields)
            # By a directory of the builder's working tree: the module is what it was, of no published version.
            local = replacement.path.startswith((".", "/"))
            modules[-1] = Module(modules[-1].path, WORKING_TREE, "") if local else replacement
    if not package:
        raise ValueError("no package is named")
    return BuildInformation(version.removeprefix("go").split(" ")[0], package, main, tuple(modules))


def _module(fields: list[str]) -> Module:
    path, version, digest = (*fields, "", "")[:3]
    return Module(path, version, digest)


def _string(content: mmap.mmap, at: int) -> tuple[bytes, int]:
    length, shift = 0, 0
    while True:
        byte = content[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 28:
            raise ValueError("no length")
    if at + length > len(content):
        raise ValueError("cut off")
    return content[at : at + length], at + length
