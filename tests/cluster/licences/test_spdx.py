"""SBOMs have what SPDX 2.3 asks for, in the form that it asks for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from labsupport.cluster.licences import Package, Text, spdx

PACKAGES = [
    Package(
        "golang.org/x/net",
        "v0.50.0",
        "pkg:golang/golang.org/x/net@v0.50.0",
        (Text("LICENSE", b""),),
        "BSD-3-Clause",
    ),
    Package("golang.org/x-net", "v0.50.0", "pkg:golang/golang.org/x-net@v0.50.0", (Text("LICENSE", b""),)),
    Package(
        "libc6",
        "2.36-9+deb12u14",
        "pkg:deb/debian/libc6@2.36",
        (Text("copyright", b""),),
        remark="names: LGPL",
    ),
]
# Mandatory fields: SPDX 2.3, chapters 6 (document), 7 (package), 11 (relationship).
DOCUMENT = {"spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "packages"}
PACKAGE = {"SPDXID", "name", "downloadLocation", "filesAnalyzed"}


@pytest.fixture
def document() -> dict[str, Any]:
    return spdx.document(
        name="kubelet",
        version="1.37.2",
        file="kubelet-1.37.2.tar.gz",
        sha256="a" * 64,
        purpose="APPLICATION",
        remark="Unofficial build",
        texts="kubelet-1.37.2.licences.tar.gz",
        packages=PACKAGES,
    )


def test_mandatory_fields(document: dict[str, Any]) -> None:
    assert document.keys() >= DOCUMENT
    assert (document["spdxVersion"], document["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"])
    assert all(
        re.match(r"(Tool|Person|Organization): \S", name) for name in document["creationInfo"]["creators"]
    )
    assert "#" not in document["documentNamespace"]
    for package in document["packages"]:
        assert package.keys() >= PACKAGE


def test_ids_are_valid_and_single(document: dict[str, Any]) -> None:
    ids = [package["SPDXID"] for package in document["packages"]]
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in ids)
    assert len(set(ids)) == len(PACKAGES) + 1


def test_each_package_is_related_to_the_whole(document: dict[str, Any]) -> None:
    whole, *parts = (package["SPDXID"] for package in document["packages"])
    relations = {
        (entry["spdxElementId"], entry["relationshipType"], entry["relatedSpdxElement"])
        for entry in document["relationships"]
    }
    assert relations == {("SPDXRef-DOCUMENT", "DESCRIBES", whole)} | {
        (whole, "CONTAINS", part) for part in parts
    }


def test_licences_are_named_or_said_to_be_unknown_and_their_texts_found(document: dict[str, Any]) -> None:
    _, known, unknown, described = document["packages"]
    assert known["licenseDeclared"] == "BSD-3-Clause"
    assert unknown["licenseDeclared"] == "NOASSERTION"
    assert "kubelet-1.37.2.licences.tar.gz: golang.org/x/net@v0.50.0/LICENSE" in known["licenseComments"]
    assert described["comment"] == "names: LGPL"


def test_the_time_is_a_constant_that_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def created() -> str:
        made = spdx.document(
            name="n",
            version="1",
            file="f",
            sha256="a" * 64,
            purpose="ARCHIVE",
            remark="",
            texts="t",
            packages=[],
        )
        return str(made["creationInfo"]["created"])

    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert created() == "1970-01-01T00:00:00Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790812800")
    assert created() == "2026-10-01T00:00:00Z"
