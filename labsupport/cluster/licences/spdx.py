"""Lists of packages as SPDX 2.3 documents in JSON (https://spdx.github.io/spdx-spec/v2.3/).

Written by hand: a document is a few fields a package, and libraries for it bring an RDF parser along. The same input
gives the same bytes, so the time of creation is a constant unless SOURCE_DATE_EPOCH
(https://reproducible-builds.org/specs/source-date-epoch/) names another.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labsupport import __version__

from . import Package

UNKNOWN = "NOASSERTION"


def document(
    *,
    name: str,
    version: str,
    file: str,
    sha256: str,
    purpose: str,
    remark: str,
    texts: str,
    packages: Sequence[Package],
) -> dict[str, Any]:
    """The SBOM of one archive.

    `file` and `sha256` are the archive's; `purpose` one of SPDX's (APPLICATION, CONTAINER, OPERATING-SYSTEM, ARCHIVE);
    `remark` is said of the whole; `texts` names the archive that has the licence texts.
    """
    root = identifier(name, version)
    whole = {
        "SPDXID": root,
        "name": name,
        "versionInfo": version,
        "packageFileName": file,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "checksums": [{"algorithm": "SHA256", "checksumValue": sha256}],
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "primaryPackagePurpose": purpose,
        "comment": remark,
    }
    entries = [_entry(package, texts) for package in packages]
    relations = [
        {"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": root}
    ]
    relations += [
        {
            "spdxElementId": root,
            "relationshipType": package.relation,
            "relatedSpdxElement": identifier(package.name, package.version),
        }
        for package in packages
    ]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": file,
        "documentNamespace": f"https://labs.example/spdx/{file}-{sha256}",
        "creationInfo": {"created": _created(), "creators": [f"Tool: labs-{__version__}"]},
        "packages": [whole, *entries],
        "relationships": relations,
    }


def identifier(name: str, version: str) -> str:
    """An SPDX id: letters, digits, "." and "-" alone, so a few digits of a digest keep different names apart."""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", f"{name}-{version}").strip("-")
    return f"SPDXRef-{readable}-{hashlib.sha256(f'{name}@{version}'.encode()).hexdigest()[:8]}"


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a document."""
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def _entry(package: Package, texts: str) -> dict[str, Any]:
    folder = directory_of(package)
    remarks = [f"Texts in {texts}: " + ", ".join(f"{folder}/{text.name}" for text in package.texts)]
    entry = {
        "SPDXID": identifier(package.name, package.version),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": package.licence or UNKNOWN,
        "licenseComments": " ".join(remarks),
        "copyrightText": UNKNOWN,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": package.purl,
            }
        ],
    }
    if package.remark:
        entry["comment"] = package.remark
    return entry


def directory_of(package: Package) -> str:
    """The directory of a package's texts in the archive of licences."""
    return f"{package.name}@{package.version}"


def _created() -> str:
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
