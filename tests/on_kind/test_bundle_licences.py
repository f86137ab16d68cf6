"""The bundle that the kind cluster comes from: each package in its images has its licence text and an SBOM entry."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labsupport.cluster.bundle import archive, manifest
from labsupport.cluster.bundle.manifest import PartEntry

GIVEN = "KIND_BUNDLE"  # .ci/kind-tests makes it, where the registries can be reached
pytestmark = pytest.mark.skipif(GIVEN not in os.environ, reason=f"{GIVEN} names no bundle")


@pytest.fixture(scope="module")
def parts() -> dict[str, PartEntry]:
    return {part.name: part for part in manifest.read(directory())[0].parts}


def directory() -> Path:
    return Path(os.environ[GIVEN])


def entries(part: PartEntry) -> set[tuple[str, str]]:
    """Name and version of each package in a part's SBOM, without the part itself."""
    document = json.loads((directory() / part.sbom.file).read_text())
    return {(entry["name"], entry["versionInfo"]) for entry in document["packages"][1:]}


def without_text(part: PartEntry) -> Iterator[tuple[str, str]]:
    texts = [name for name, text in archive.read_files(directory() / part.licences.file) if text.strip()]
    for name, version in entries(part):
        if not any(text.startswith(f"{name}@{version}/") for text in texts):
            yield name, version


def test_the_node_image(parts: dict[str, PartEntry]) -> None:
    image = parts["kind-node-image"]
    made_from = image.content["manifest"]
    expected = set(made_from["packages"].items())
    assert len(expected) > 50
    expected |= set(parts["course-root"].content["packages"].items())
    for program in made_from["programs"]:
        linked = entries(parts[program])
        assert len(linked) > 5
        expected |= linked
    assert expected <= entries(image)
    assert "sigs.k8s.io/kind" in {name for name, _ in entries(image)}
    assert list(without_text(image)) == []


def test_the_courses_images(parts: dict[str, PartEntry]) -> None:
    image = parts["course-images"]
    expected = set(parts["course-root"].content["packages"].items())
    expected |= entries(parts["coredns"]) | entries(parts["envoy"])
    assert expected <= entries(image)
    assert list(without_text(image)) == []


def test_each_part_says_whether_it_is_official(parts: dict[str, PartEntry]) -> None:
    for part in parts.values():
        remark = json.loads((directory() / part.sbom.file).read_text())["packages"][0]["comment"]
        assert part.unofficial == (part.origin != "release"), part.name
        assert remark.startswith("Unofficial build" if part.unofficial else "The project's own release")
