from __future__ import annotations

import json
import os
from pathlib import Path

import grpc
import pytest

from labsupport.cluster import images as catalogue
from labsupport.cluster.embedded.runtime.faults import Fault
from labsupport.cluster.embedded.runtime.images import Images, to_cri
from labsupport.errors import LabsError


@pytest.fixture
def images(tmp_path: Path) -> Images:
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps(catalogue.compiled_catalogue()))
    return Images(path, tmp_path / "pulled.json")


def test_shipped_catalogue_has_what_the_course_names() -> None:
    names = set(catalogue.compiled_catalogue()["images"])
    assert {
        "labs.example/python:3.11",
        "labs.example/shell:1",
        "labs.example/web:1",
        "labs.example/web:2",
        "labs.example/coredns:1.14.6",
        "labs.example/envoy:1.40.0",
    } <= names
    digests = [entry["id"] for entry in catalogue.listing()]
    assert len(set(digests)) == len(names)


def test_unknown_image_says_what_to_do(images: Images) -> None:
    with pytest.raises(Fault) as caught:
        images.pull("nginx:1.29")
    assert caught.value.code == grpc.StatusCode.NOT_FOUND
    assert str(caught.value) == (
        'image "nginx:1.29" is not in this cluster\'s catalogue: this cluster pulls nothing; '
        "`labs images` lists what it has"
    )


def test_find_by_name_digest_or_both(images: Images) -> None:
    image = images.pull("labs.example/shell:1")
    assert images.find(image.digest) == image
    assert images.find(f"labs.example/shell:1@{image.digest}") == image
    assert images.find(f"labs.example/shell@{image.digest}") == image
    assert images.find("labs.example/shell:1@sha256:0") is None
    assert images.find(f"labs.example/other@{image.digest}") is None


def test_pulled_names_survive_a_restart(images: Images, tmp_path: Path) -> None:
    image = images.pull("labs.example/web:1")
    again = Images(tmp_path / "catalogue.json", tmp_path / "pulled.json")
    assert again.pulled() == [image]
    again.remove("labs.example/web:1")
    again.remove("unknown:1")
    assert Images(tmp_path / "catalogue.json", tmp_path / "pulled.json").pulled() == []


def test_changed_catalogue_is_read_again(images: Images, tmp_path: Path) -> None:
    assert images.find("labs.example/shell:1") is not None
    path = tmp_path / "catalogue.json"
    path.write_text('{"images": {}}')
    os.utime(path, ns=(1, 1))
    assert images.find("labs.example/shell:1") is None


def test_web_runs_as_an_ordinary_user(images: Images) -> None:
    message = to_cri(images.pull("labs.example/web:1"))
    assert message.uid.value == 1000
    assert message.size > 0
    assert message.repo_digests == [f"labs.example/web@{message.id}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[images.", "not TOML"),
        ('[images."labs.example/a:1"]\ncommand = ["x"]', "about"),
        ('[images."labs.example/a:1"]\nabout = "a"\ncommand = ["x"]\ncolour = "red"', "colour"),
        ('[images."labs.example/a:1"]\nabout = "a"', "nothing to run"),
        ('[images."a"]\nabout = "a"\ncommand = ["x"]', "domain and tag"),
        (
            '[images."labs.example/a:1"]\nabout = "a"\ncommand = ["x"]\naliases = ["labs.example/a:1"]',
            "appears twice",
        ),
    ],
)
def test_wrong_catalogues_are_explained(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(text)
    with pytest.raises(LabsError, match=problem):
        catalogue.compiled_catalogue(path)
