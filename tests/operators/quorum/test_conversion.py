"""Both versions say the same: conversion loses nothing, and definitions, releases and rules agree."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from labsupport.operators.quorum_operator import conversion, names, releases

NEW, OLD = f"{names.GROUP}/v1", f"{names.GROUP}/v1beta1"
MANIFESTS = Path(__file__).parents[3] / "clusters/manifests/quorum"
sizes = st.sampled_from([3, 5, 7])
annotations = st.none() | st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=3), max_size=2)


@st.composite
def quorums(draw: st.DrawFn, version: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "q", "uid": "u"}
    if (said := draw(annotations)) is not None:
        metadata["annotations"] = said
    size = draw(sizes)
    spec: dict[str, Any] = {"storage": {"size": "64Mi"}}
    spec |= {"size": size, "release": "1.0"} if version == NEW else {"replicas": size, "version": "1.0"}
    if version == OLD or draw(st.booleans()):
        spec["threshold"] = draw(st.integers(size // 2 + 1, size))
    return {
        "apiVersion": version,
        "kind": "Quorum",
        "metadata": metadata,
        "spec": spec,
        "status": {"voters": 3},
    }


@given(quorums(NEW))
def test_there_and_back_from_v1(found: dict[str, Any]) -> None:
    before = copy.deepcopy(found)
    back = conversion.convert(conversion.convert(found, OLD), NEW)
    if before["metadata"].get("annotations") == {}:  # none and an empty map are the same to the API server
        back["metadata"].setdefault("annotations", {})
    assert back == before == found


@given(quorums(OLD))
def test_there_and_back_from_v1beta1(found: dict[str, Any]) -> None:
    assert conversion.convert(conversion.convert(found, NEW), OLD) == found


def test_a_threshold_that_nobody_wrote_is_the_majority_also_after_a_change_of_size() -> None:
    found = {"apiVersion": NEW, "metadata": {"name": "q"}, "spec": {"size": 3, "release": "1.0"}}
    old = conversion.convert(found, OLD)
    assert old["spec"]["threshold"] == 2
    old["spec"] |= {"replicas": 5, "threshold": 4}  # an old client writes both
    assert conversion.convert(old, NEW)["spec"] == {"size": 5, "release": "1.0", "threshold": 4}


def test_a_review_that_cannot_be_answered_says_why() -> None:
    request = {"uid": "1", "desiredAPIVersion": "other/v9", "objects": [{"apiVersion": NEW, "spec": {}}]}
    answer = conversion.review({"apiVersion": "apiextensions.k8s.io/v1", "request": request})
    assert answer["response"]["result"]["status"] == "Failure"
    assert "other/v9" in answer["response"]["result"]["message"]


def definition() -> dict[str, Any]:
    return dict(yaml.safe_load((MANIFESTS / "quorums.yaml").read_text()))


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_the_definition_knows_the_releases_that_there_are(version: str) -> None:
    (found,) = [each for each in definition()["spec"]["versions"] if each["name"] == version]
    schema = found["schema"]["openAPIV3Schema"]
    key = {"v1": "release", "v1beta1": "version"}[version]
    assert schema["properties"]["spec"]["properties"][key]["enum"] == list(releases.PROTOCOLS)
    table = "{" + ", ".join(f"'{name}': {high}" for name, (_, high) in releases.PROTOCOLS.items()) + "}"
    assert any(table in rule["rule"] for rule in schema["x-kubernetes-validations"])
    assert (
        found["subresources"]["scale"]["specReplicasPath"]
        == f".spec.{ {'v1': 'size'}.get(version, 'replicas') }"
    )


def test_both_versions_have_the_same_fields_and_status() -> None:
    new, old = (each["schema"]["openAPIV3Schema"]["properties"] for each in definition()["spec"]["versions"])
    assert new["status"] == old["status"]
    renamed = {{"size": "replicas", "release": "version"}.get(key, key) for key in new["spec"]["properties"]}
    assert renamed == set(old["spec"]["properties"])
