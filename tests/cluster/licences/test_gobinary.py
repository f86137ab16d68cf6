"""Reading what a Go program was linked from."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.licences import gobinary, gomodules
from labsupport.cluster.licences.gobinary import Module

MARK = bytes(range(16))
LISTING = (
    "path\tk8s.io/kubernetes/cmd/kubelet\n"
    "mod\tk8s.io/kubernetes\tv1.37.2\th1:main=\n"
    "dep\tgolang.org/x/net\tv0.50.0\th1:net=\n"
    "dep\texample.org/replaced\tv1.0.0\n"
    "=>\texample.org/replacement\tv1.0.1\th1:new=\n"
    "build\t-trimpath=true\n"
)


def varint(number: int) -> bytes:
    encoded = b""
    while number >= 0x80:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def information(listing: str, flags: int = 2) -> bytes:
    content = MARK + listing.encode() + MARK
    head = gobinary.MAGIC.ljust(15, b"\x00") + bytes([flags])
    version = b"go1.26.8"
    return head.ljust(32, b"\x00") + varint(len(version)) + version + varint(len(content)) + content


def program(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_list_of_a_program(tmp_path: Path) -> None:
    read = gobinary.read(program(tmp_path / "p", b"\x7fELF".ljust(4096) + information(LISTING)))
    assert (read.go, read.package) == ("1.26.8", "k8s.io/kubernetes/cmd/kubelet")
    assert read.main == "k8s.io/kubernetes"
    assert read.modules == (
        Module("k8s.io/kubernetes", "v1.37.2", "h1:main="),
        Module("golang.org/x/net", "v0.50.0", "h1:net="),
        Module("example.org/replacement", "v1.0.1", "h1:new="),
    )


def test_the_magic_word_as_data_is_passed_over(tmp_path: Path) -> None:
    decoy = gobinary.MAGIC.ljust(64, b"\x02")
    unaligned = b"x" * 8 + gobinary.MAGIC + b"x" * 40
    content = decoy + unaligned.ljust(64) + information(LISTING)
    assert gobinary.read(program(tmp_path / "p", content)).go == "1.26.8"


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n" * 100, information(LISTING)[:200]])
def test_what_is_no_go_program(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ValueError, match=r"no Go program|no build information"):
        gobinary.read(program(tmp_path / "p", content))


def test_a_release_built_in_its_own_working_tree() -> None:
    listing = (
        "path\tgo.etcd.io/etcd/server/v3\n"
        "mod\tgo.etcd.io/etcd/server/v3\t(devel)\t\n"
        "dep\tgo.etcd.io/etcd/api/v3\tv3.7.0\n"
        "=>\t../api\t(devel)\t\n"
        "dep\tk8s.io/api\tv0.0.0\t\n"
        "dep\tgolang.org/x/net\tv0.50.0\th1:net=\n"
        "dep\tlabs.example/ours\t(devel)\t\n"
    )
    information = gobinary.parse_listing("go1.26.8", listing)
    assert Module("go.etcd.io/etcd/api/v3", "(devel)", "") in information.modules
    whole = Module("go.etcd.io/etcd/server/v3", "v3.7.0", "")
    net = Module("golang.org/x/net", "v0.50.0", "h1:net=")
    assert gomodules.sources_of(information, "3.7.0") == {
        whole: whole,
        Module("go.etcd.io/etcd/api/v3", "v3.7.0", ""): whole,
        Module("k8s.io/api", "v3.7.0", ""): whole,
        net: net,
    }


@pytest.mark.parametrize(
    ("version", "published"),
    [
        ("v1.2.3", True),
        ("v1.2.3-rc.1", True),
        ("v0.0.0-20181226105442-5d4384ee4fb2", True),
        ("v2.0.0+incompatible", True),
        ("v1.2.3+dirty", False),
        ("(devel)", False),
        ("v0.0.0", False),
    ],
)
def test_which_versions_can_be_downloaded(version: str, published: bool) -> None:
    information = gobinary.parse_listing("go1.26.8", f"path\tp\nmod\texample.org/m\t{version}\t\n")
    (module,) = gomodules.sources_of(information, "9.9.9")
    assert module.version == (version if published else "v9.9.9")
