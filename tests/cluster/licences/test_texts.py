"""Licence texts of Go modules, Debian packages and wheels."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.licences import Package, debian, gomodules, require_texts, wheels
from labsupport.errors import LabsError

MIT = (
    "Permission is hereby granted, free of charge, to any person ...\n"
    "The above copyright notice and this permission\nnotice shall be included\n"
)


def write(path: Path, text: str = "text") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_texts_of_a_module_and_of_code_that_it_took_over(tmp_path: Path) -> None:
    for name in (
        "LICENSE",
        "NOTICE.txt",
        "LICENSE-APACHE-2.0.txt",
        "COPYING.md",
        "internal/snappy/LICENSE",
        "LICENSES/third_party/MIT.txt",
        "testdata/LICENSE",
        "license.go",
        "licensed/main.go",
        "README.md",
    ):
        write(tmp_path / name)
    assert {text.name for text in gomodules.texts_of(tmp_path)} == {
        "LICENSE",
        "NOTICE.txt",
        "LICENSE-APACHE-2.0.txt",
        "COPYING.md",
        "internal/snappy/LICENSE",
        "LICENSES/third_party/MIT.txt",
    }


def test_capitals_in_a_modules_path() -> None:
    assert gomodules.escaped("github.com/BurntSushi/toml") == "github.com/!burnt!sushi/toml"


def test_the_licence_of_go_where_the_toolchain_lacks_it(tmp_path: Path) -> None:
    for root in (tmp_path / "whole", tmp_path / "wheel"):
        write(root / "src/vendor/golang.org/x/net/LICENSE", "of Go")
        write(root / "src/vendor/golang.org/x/net/PATENTS", "grant")
    write(tmp_path / "whole/LICENSE", "of Go")
    texts = gomodules.go_texts_of(tmp_path / "wheel")
    assert {text.name for text in texts} == {
        "LICENSE",
        "src/vendor/golang.org/x/net/LICENSE",
        "src/vendor/golang.org/x/net/PATENTS",
    }
    assert gomodules.go_texts_of(tmp_path / "whole") == texts
    assert gomodules.go_texts_of(tmp_path) == ()


def test_a_debian_packages_copyright_and_what_it_refers_to(tmp_path: Path) -> None:
    text = (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        "License: GPL-2+\n see /usr/share/common-licenses/GPL-2.\n"
    )
    write(tmp_path / "usr/share/doc/bash/copyright", text)
    write(tmp_path / "usr/share/common-licenses/GPL-2", "GPL")
    (package,) = debian.unpacked(tmp_path, {"bash": "1:5.2"}, "amd64", "bookworm")
    assert [text.name for text in package.texts] == ["copyright", "common-licenses/GPL-2"]
    assert package.purl == "pkg:deb/debian/bash@1%3A5.2?arch=amd64&distro=debian-bookworm"
    assert "GPL-2+" in package.remark


def test_a_copyright_by_a_link_within_the_tree_and_out_of_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "usr/share/doc/gcc-12-base/copyright", "gcc")
    write(tmp_path / "outside/copyright", "somebody's")
    (root / "usr/share/doc/libgcc-s1").symlink_to("gcc-12-base")
    (root / "usr/share/doc/absolute").symlink_to("/usr/share/doc/gcc-12-base")
    (root / "usr/share/doc/escape").symlink_to("../../../../outside")
    (root / "usr/share/doc/loop").symlink_to("loop")
    assert debian.texts_of(root, "libgcc-s1")[0].content == b"gcc"
    assert debian.texts_of(root, "absolute")[0].content == b"gcc"
    assert debian.texts_of(root, "escape") == ()
    assert debian.texts_of(root, "loop") == ()
    assert debian.texts_of(root, "not-there") == ()


def test_wheels_with_their_licences_in_either_place(tmp_path: Path) -> None:
    new, old = tmp_path / "h11-0.16.0.dist-info", tmp_path / "Old_Style-1.0.dist-info"
    write(new / "METADATA", "Metadata-Version: 2.4\nName: h11\nVersion: 0.16.0\n")
    write(new / "licenses/LICENSE.txt", MIT)
    write(old / "METADATA", "Metadata-Version: 2.1\nName: Old.Style\nVersion: 1.0\n")
    write(old / "RECORD", "old/LICENSE,sha256=x,4\nold/module.py,,\n../../LICENSE,,\n")
    write(tmp_path / "old/LICENSE")
    first, second = wheels.installed(tmp_path)
    assert (second.name, second.licence) == ("h11", "MIT")
    assert [text.name for text in first.texts] == ["old/LICENSE"]
    assert first.purl == "pkg:pypi/old-style@1.0"


def test_a_package_without_a_text_is_named() -> None:
    with pytest.raises(LabsError, match=r"parts of kubelet: bare 1\.0"):
        require_texts("kubelet", [Package("bare", "1.0", "pkg:golang/bare@1.0", ())])


def test_a_wheel_without_texts_whose_text_the_course_keeps(tmp_path: Path) -> None:
    for name in ("xds_protos", "bare"):
        information = tmp_path / f"{name}-1.0.dist-info"
        write(information / "METADATA", f"Name: {name.replace('_', '-')}\nVersion: 1.0\n")
        write(information / "RECORD", f"{name}/__init__.py,,\n")
    bare, kept = wheels.installed(tmp_path)
    assert (kept.licence, [text.name for text in kept.texts]) == ("Apache-2.0", ["LICENSE", "NOTICE"])
    with pytest.raises(LabsError, match=r"course-root: bare 1\.0\n"):
        require_texts("course-root", [bare, kept])
