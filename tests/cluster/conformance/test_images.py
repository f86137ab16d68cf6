from __future__ import annotations

import json
from pathlib import Path

import pytest

from labsupport.cluster import images as catalogue
from labsupport.cluster import versions
from labsupport.cluster.conformance import prepare, selection, testroot
from labsupport.cluster.courseroot import load
from labsupport.cluster.embedded.runtime.images import Images

LAYERS = prepare.layers()


def test_learners_have_no_image_of_the_suite() -> None:
    ours = catalogue.compiled_catalogue()["images"]
    theirs = catalogue.compiled_catalogue(prepare.CATALOGUE, LAYERS)["images"]
    assert not ours.keys() & theirs.keys()
    assert all(name.startswith(selection.load().registry + "/") for name in theirs)
    assert not any(entry.get("layers") for entry in ours.values())


def test_the_tags_are_those_of_the_pinned_versions() -> None:
    names = set(catalogue.read_catalogue(prepare.CATALOGUE).images)
    known = versions.load().versions
    assert f"labs.example/e2e/agnhost:{known['agnhost']}" in names
    assert f"labs.example/e2e/etcd:{known['etcd']}-0" in names


def test_layers_reach_the_runtime(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps(catalogue.compiled_catalogue(prepare.CATALOGUE, LAYERS)))
    image = Images(file, tmp_path / "pulled.json").find("labs.example/e2e/nonroot:1.5")
    assert image is not None
    assert image.layers == (LAYERS["tests"],)
    assert image.user == 1234


def test_small_layers_lie_above_the_test_root() -> None:
    theirs = catalogue.compiled_catalogue(prepare.CATALOGUE, LAYERS)["images"]
    assert theirs["labs.example/e2e/nautilus:1.8"]["layers"] == [
        f"{prepare.PLACE}/layers/nautilus",
        f"{prepare.PLACE}/root",
    ]


def test_a_layer_that_nobody_has_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"kitten|tests"):
        catalogue.compiled_catalogue(prepare.CATALOGUE)


def test_programs_of_the_suite_are_in_no_back_end() -> None:
    for backend in ("embedded", "kind"):
        assert not {"e2e.test", "agnhost", "ginkgo", "sample-apiserver"} & set(versions.names(backend))
    assert set(prepare.PROGRAMS) <= set(versions.names("conformance"))


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_the_test_root_has_no_package_twice(architecture: str) -> None:
    target = ("bookworm", architecture)
    tests = load(testroot.DIRECTORY, target, testroot.NAME)
    assert tests.over == "course-root"
    assert tests.pins
    assert not tests.pins.keys() & load(target=target).pins.keys()
    # All but what the course root has already.
    assert set(tests.packages) <= tests.pins.keys()


def test_the_test_root_has_its_own_users_in_place_of_the_course_roots(tmp_path: Path) -> None:
    below, root = tmp_path / "below", tmp_path / "root"
    (below / "etc").mkdir(parents=True)
    (below / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/bash\ncourse:x:1000:1000::/home/course:/bin/bash\n"
    )
    (below / "etc/group").write_text("root:x:0:\ncourse:x:1000:\n")
    root.mkdir()
    description = load(testroot.DIRECTORY, ("bookworm", "amd64"), testroot.NAME)
    testroot.write_accounts(root, below, description)
    assert "course" not in (root / "etc/passwd").read_text()
    assert "root:x:0:0:" in (root / "etc/passwd").read_text()
    assert "group-defined-in-image:x:50000:user-defined-in-image\n" in (root / "etc/group").read_text()
