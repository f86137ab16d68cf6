"""Which of the Gateway API's kinds are applied to a cluster that may have some."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.mesh.admin.gateway import CHANNEL, OURS, VERSION, choose, is_ours, newness

Object = dict[str, Any]
NAMES = ("grpcroutes", "httproutes")


def crd(name: str, version: str = "v1.6.3", channel: str = "standard", *, ours: bool = False) -> Object:
    metadata: Object = {"name": name, "annotations": {VERSION: version, CHANNEL: channel}}
    if not version:
        metadata.pop("annotations")
    if ours:
        metadata["labels"] = {**OURS, "other": "kept"}
    return {"apiVersion": "v1", "kind": "CustomResourceDefinition", "metadata": metadata}


BUNDLE = [crd(name) for name in NAMES]


def test_a_cluster_without_gets_all_of_them_marked_as_ours() -> None:
    choice = choose(BUNDLE, [])
    assert [each["metadata"]["name"] for each in choice.apply] == [*NAMES]
    assert all(map(is_ours, choice.apply))
    assert not any(map(is_ours, BUNDLE))


def test_of_our_own_those_that_were_altered_are_applied_again() -> None:
    bundle = [{**each, "spec": {"names": [each["metadata"]["name"]]}} for each in BUNDLE]
    stored = [
        {**crd(name, ours=True), "spec": {"names": [name], "default": "of the server"}} for name in NAMES
    ]
    assert choose(bundle, stored).apply == ()
    stored[1]["spec"]["names"] = ["other"]
    (mended,) = choose(bundle, stored).apply
    assert mended["metadata"]["name"] == NAMES[1]
    assert is_ours(mended)


def test_an_interrupted_installation_is_completed() -> None:
    choice = choose(BUNDLE, [crd("httproutes", ours=True)])
    assert len(choice.apply) == 2
    assert all(map(is_ours, choice.apply))


def test_others_of_the_same_version_are_left_alone() -> None:
    choice = choose(BUNDLE, [crd(name) for name in NAMES])
    assert choice.apply == ()


def test_older_ones_of_others_are_made_newer_and_stay_theirs() -> None:
    choice = choose(BUNDLE, [crd(name, "v1.4.0") for name in NAMES])
    assert len(choice.apply) == 2
    assert not any(map(is_ours, choice.apply))
    assert "in place of v1.4.0" in choice.why


def test_older_ones_of_ours_are_made_newer_and_stay_ours() -> None:
    choice = choose(BUNDLE, [crd(name, "v1.4.0", ours=True) for name in NAMES])
    assert all(map(is_ours, choice.apply))


@pytest.mark.parametrize(
    ("present", "told"),
    [
        (crd("httproutes", "v1.7.0"), "newer than v1.6.3"),
        (crd("httproutes", "v2.0.0-rc.1", ours=True), "newer"),
        (crd("httproutes", "v1.6.3", "experimental"), "experimental"),
        (crd("httproutes", "v1.0.0", "experimental"), "experimental"),
        (crd("httproutes", ""), "does not say"),
    ],
)
def test_what_must_not_be_replaced_is_left_with_all_others(present: Object, told: str) -> None:
    choice = choose(BUNDLE, [present, crd("grpcroutes", "v1.0.0")])
    assert choice.apply == ()
    assert told in choice.why


def test_versions_have_their_order() -> None:
    ascending = ["no version", "v0.8.1", "v1.6.0-rc.1", "v1.6.0", "v1.6.3", "v1.10.0"]
    assert sorted(sorted(ascending), key=newness) == ascending


def test_without_a_bundle_there_is_nothing_to_apply() -> None:
    assert choose([], [crd("httproutes")]).apply == ()
