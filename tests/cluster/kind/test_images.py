"""The catalogue's entries as images."""

from __future__ import annotations

from pathlib import Path

from labsupport.cluster.images import PACKAGE, SITE, compile_entry, read_catalogue
from labsupport.cluster.kind import archive, images


def test_every_entry_becomes_an_image_that_means_the_same() -> None:
    catalogue = read_catalogue()
    base, package, program = (archive.Layer(Path(name), name) for name in ("base", "package", "program"))
    programs = {f"{n}:{place}": program for e in catalogue.images.values() for n, place in e.programs.items()}
    made = {image.names[0]: image for image in images.images_of(catalogue, base, package, programs)}
    assert set(made) == set(catalogue.images)
    for name, entry in catalogue.images.items():
        image = made[name]
        assert image.names == (name, *entry.aliases)
        assert image.layers[0] is base
        assert (package in image.layers) == entry.package
        assert (program in image.layers) == bool(entry.programs)
        assert list(image.entrypoint) == entry.entrypoint
        assert list(image.command) == entry.command
        assert image.env == compile_entry(name, entry, catalogue.defaults)["env"]
        assert image.user == (str(entry.user) if entry.user else "")
    assert made["labs.example/python:3.11"].env["PYTHONPATH"] == f"{PACKAGE}:{SITE}"


def test_the_package_is_without_byte_code() -> None:
    files = images.package_files()
    assert images.SOURCE / "shop/web.py" in files
    assert not [path for path in files if path.suffix == ".pyc"]


def test_what_no_two_trees_have_in_common_is_left_out() -> None:
    kept = [
        name
        for name in ("var/cache/ldconfig/aux-cache", "proc/1", "proc", "usr/bin/sh")
        if images.belongs(name)
    ]
    assert kept == ["proc", "usr/bin/sh"]


def test_programs_are_those_of_the_catalogue() -> None:
    assert images.programs_of(read_catalogue()) == ("coredns", "envoy")
