"""Which foreign packages an artefact holds, under which licences, and the texts that must travel with it.

Three kinds of packages: Go modules linked into a program, Debian packages unpacked into a tree, Python wheels
installed into a directory.
"""

from __future__ import annotations

from dataclasses import dataclass

from labsupport.errors import LabsError

__all__ = ["Package", "Text", "require_texts"]


@dataclass(frozen=True)
class Text:
    """One licence, notice or copyright file: its path within the package, and what it says."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Package:
    """One foreign package. `purl`: its package URL (https://github.com/package-url/purl-spec).

    `licence` is an SPDX licence expression of what its texts were recognised as, "" where they were not.
    `relation` is how the artefact holds it, as SPDX 2.3 (11.1) names it: CONTAINS or STATIC_LINK.
    `remark` is said of it in the SBOM.
    """

    name: str
    version: str
    purl: str
    texts: tuple[Text, ...]
    licence: str = ""
    relation: str = "CONTAINS"
    remark: str = ""


def require_texts(artefact: str, packages: list[Package]) -> list[Package]:
    """Return `packages`. LabsError names those without any licence text: such an artefact may not be passed on."""
    bare = [f"{package.name} {package.version}" for package in packages if not package.texts]
    if bare:
        raise LabsError(
            f"no licence text found for these parts of {artefact}: {', '.join(bare)}",
            fix="the texts come from the packages themselves: `labs cache --prune`, then try again; "
            "if it stays, report it",
        )
    return packages
