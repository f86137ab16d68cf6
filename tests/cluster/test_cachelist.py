"""What is kept and what goes: current programs and roots stay, also those of a cluster that exists."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from labsupport.cluster import cachelist, courseroot, directory, gatewayapi, versions
from labsupport.cluster.embedded import idmap


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    cache = tmp_path / "cache"
    current = versions.program("kubelet").version
    key = courseroot.digest(courseroot.load(target=("bookworm", "amd64")), idmap.for_this_user().owner_base)
    monkeypatch.setattr(courseroot, "digest", lambda *_: key)
    monkeypatch.setattr(courseroot, "load", lambda *_, **__: None)
    for name in (
        f"bin/kubelet-{current}-0123456789ab/kubelet",
        "bin/kubelet-1.2.3-0123456789ab/kubelet",
        f"course-root/{key}/manifest.json",
        "course-root/older/manifest.json",
        "course-root/ofacluster/manifest.json",
        "uv/0.1/bin/uv",
        "build/gocache/x",
        "downloads/debs/x",
    ):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(b"x" * 5000)
    monkeypatch.setattr(directory, "existing", lambda: ("kept",))
    place = directory.ClusterDirectory("kept").root
    place.mkdir(parents=True)
    (place / "launch.json").write_text(
        json.dumps({"course_root": str(cache / "course-root/ofacluster/root")})
    )
    return cache


def test_what_is_not_needed_goes_and_the_rest_stays(cache: Path) -> None:
    removed = {str(item.path.relative_to(cache)) for item in cachelist.prune(cache)}
    assert removed == {"bin/kubelet-1.2.3-0123456789ab", "course-root/older", "build", "downloads"}
    left = {str(item.path.relative_to(cache)) for item in cachelist.contents(cache)}
    assert "course-root/ofacluster" in left
    assert len(left) == 4
    assert cachelist.prune(cache) == []


def test_definitions_of_another_version_go(cache: Path) -> None:
    for place in (gatewayapi.place(cache), cache / "gateway-api/0.1.0-0123"):
        place.mkdir(parents=True)
        (place / "definitions.json").write_text("[]")
    said = {item.path: (item.what, item.needed) for item in cachelist.contents(cache)}
    assert said[gatewayapi.place(cache)] == ("definitions of the Gateway API", True)
    assert cache / "gateway-api/0.1.0-0123" in {item.path for item in cachelist.prune(cache)}


def test_what_only_a_suite_needs_is_named_and_goes(cache: Path) -> None:
    suite = f"bin/e2e.test-{versions.program('e2e.test').version}-0123456789ab"
    for name in (suite, "course-root/tests-0123"):
        (cache / name).mkdir(parents=True)
    said = {str(item.path.relative_to(cache)): item.what for item in cachelist.contents(cache)}
    assert said[suite] == "program of labs conformance"
    assert said["course-root/tests-0123"] == "test root of labs conformance"
    removed = {str(item.path.relative_to(cache)) for item in cachelist.prune(cache)}
    assert {suite, "course-root/tests-0123"} <= removed


def test_the_newest_image_of_a_kind_stays(cache: Path) -> None:
    for number, name in enumerate(("node-b", "node-a", "course-x")):
        (cache / "kind" / name).mkdir(parents=True)
        os.utime(cache / "kind" / name, (1000 + number, 1000 + number))
    removed = {str(item.path.relative_to(cache)) for item in cachelist.prune(cache)}
    assert "kind/node-b" in removed
    assert not removed & {"kind/node-a", "kind/course-x"}


def test_virtual_machines_are_named_and_go(cache: Path) -> None:
    for name in ("vm/bookworm-0123", "vm/.run-abcd"):
        (cache / name).mkdir(parents=True)
    said = {str(item.path.relative_to(cache)): item.what for item in cachelist.contents(cache)}
    assert said["vm/bookworm-0123"] == "virtual machine of make vm"
    removed = {str(item.path.relative_to(cache)) for item in cachelist.prune(cache)}
    assert {"vm/bookworm-0123", "vm/.run-abcd"} <= removed


def test_sizes_are_those_on_the_disk(cache: Path) -> None:
    assert all(item.size >= 5000 for item in cachelist.contents(cache))


def test_an_empty_cache_has_nothing_to_prune(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert cachelist.prune(tmp_path / "empty") == []
    assert list((tmp_path / "empty").iterdir()) == []
