"""Licence files of Python packages that were installed into a directory from wheels (PEP 639, Core metadata)."""

from __future__ import annotations

import email.parser
import re
from pathlib import Path
from urllib.parse import quote

from labsupport import paths

from . import Package, Text, recognise

NAMES = re.compile(r"(licen[cs]e|copying|notice|authors|copyright)([.-].*)?", re.IGNORECASE)

# Packages whose wheels have no text, and where the course keeps one. xds-protos: messages generated from Envoy's own
# descriptions and those of others that Envoy uses, all under the licence that the wheel names: Envoy's.
KEPT = {"xds-protos": paths.CLUSTERS / "images" / "envoy" / "licences"}


def installed(site: Path) -> list[Package]:
    """The packages of a directory such as site-packages, by name."""
    found = []
    for directory in sorted(site.glob("*.dist-info")):
        metadata = email.parser.Parser().parsestr((directory / "METADATA").read_text(errors="replace"))
        name, version = metadata["Name"], metadata["Version"]
        texts = tuple(
            Text(str(path.relative_to(directory)), path.read_bytes())
            for path in sorted(directory.rglob("*"))
            if path.is_file()
            and (NAMES.fullmatch(path.name) or "licenses" in path.relative_to(directory).parts[:-1])
        )
        if not texts:
            texts = _beside(site, directory) or _kept(name)
        found.append(
            Package(
                name=name,
                version=version,
                purl=f"pkg:pypi/{quote(re.sub('[-_.]+', '-', name).lower())}@{quote(version)}",
                texts=texts,
                licence=recognise.expression(texts) or metadata.get("License-Expression", ""),
            )
        )
    return found


def _beside(site: Path, directory: Path) -> tuple[Text, ...]:
    """Licence files that older wheels have among their modules instead."""
    texts = []
    for line in (directory / "RECORD").read_text().splitlines():
        name = line.rsplit(",", 2)[0].strip('"')
        path = site / name
        if NAMES.fullmatch(path.name) and ".." not in Path(name).parts and path.is_file():
            texts.append(Text(name, path.read_bytes()))
    return tuple(texts)


def _kept(name: str) -> tuple[Text, ...]:
    directory = KEPT.get(name)
    if directory is None:
        return ()
    return tuple(Text(path.name, path.read_bytes()) for path in sorted(directory.iterdir()))
