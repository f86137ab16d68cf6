"""Official releases: plain programs, archives, wrong ones, and servers that are not there."""

from __future__ import annotations

import dataclasses
import io
import socket
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster import versions
from labsupport.cluster.binaries import fetch, release
from labsupport.cluster.versions import Program

VERSION = versions.program("kubelet").version
QUICK = fetch.Limits(connect=1.0, stall=1.0, attempts=2)
SCRIPT = f'#!/bin/sh\necho \'GitVersion:"v{VERSION}", GitCommit:"0123abc"\'\n'.encode()


def program(site: Any, name: str = "kubelet", file: str | None = None, member: str | None = None) -> Program:
    place = f"{site.url}/{file or name}"
    return dataclasses.replace(
        versions.program("kubelet"), name=name, release=place, checksum=place + ".sha256", member=member
    )


def archive(member: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def obtain(tmp_path: Path, *programs: Program) -> tuple[dict[str, Any], dict[str, list[str]]]:
    tried: dict[str, list[str]] = {program.name: [] for program in programs}
    return release.obtain(programs, tmp_path / "cache", tried, {}, QUICK), tried


def test_plain_program(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/kubelet", SCRIPT)
    site.add("/kubelet.sha256", file.sha256.encode())
    found, _ = obtain(tmp_path, program(site))
    assert (found["kubelet"].origin, found["kubelet"].unofficial) == ("release", False)
    assert found["kubelet"].path.read_bytes() == SCRIPT
    assert list((tmp_path / "cache/downloads/releases").iterdir()) == []


def test_program_in_an_archive(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/etcd.tar.gz", archive("etcd-v3/etcd", SCRIPT))
    site.add("/etcd.tar.gz.sha256", f"{'0' * 64}  other.zip\n{file.sha256}  etcd.tar.gz\n".encode())
    found, tried = obtain(tmp_path, program(site, "etcd", "etcd.tar.gz", "etcd-v3/etcd"))
    assert found["etcd"].path.read_bytes() == SCRIPT, tried
    assert list((tmp_path / "cache/downloads/releases").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "digest_of", "member", "reason"),
    [
        (SCRIPT, b"other", None, "SHA-256 is"),
        (SCRIPT.replace(VERSION.encode(), b"1.36.0"), None, None, "says version 1.36.0"),
        (b"#!/bin/sh\n", None, None, "said no version"),
        (archive("another", SCRIPT), None, "kubelet", "no kubelet in it"),
        (b"no archive", None, "kubelet", "no kubelet in it"),
    ],
)
def test_wrong_releases(
    serve: Callable[..., Any],
    tmp_path: Path,
    body: bytes,
    digest_of: bytes | None,
    member: str | None,
    reason: str,
) -> None:
    site = serve()
    file = site.add("/kubelet", body)
    stated = site.add("/other", digest_of).sha256 if digest_of else file.sha256
    site.add("/kubelet.sha256", stated.encode())
    found, tried = obtain(tmp_path, program(site, member=member))
    assert found == {}
    assert reason in tried["kubelet"][0]
    assert not list((tmp_path / "cache").glob("bin/kubelet-*"))


def test_no_checksum_no_download(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    site.add("/kubelet", SCRIPT)
    found, tried = obtain(tmp_path, program(site))
    assert found == {}
    assert "404" in tried["kubelet"][0]
    assert site.requests == [("/kubelet.sha256", None)]


def test_a_server_that_is_not_there_is_asked_once(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    absent, site = type(serve())(f"http://localhost:{port}"), serve()
    file = site.add("/kubectl", SCRIPT)
    site.add("/kubectl.sha256", file.sha256.encode())
    asked: list[str] = []
    original = fetch.text

    def counted(client: Any, url: str, limits: fetch.Limits) -> str:
        asked.append(url)
        return original(client, url, limits)

    monkeypatch.setattr(fetch, "text", counted)
    found, tried = obtain(
        tmp_path, program(absent, "kubelet"), program(absent, "kube-proxy"), program(site, "kubectl")
    )
    assert list(found) == ["kubectl"]
    assert [url.rsplit("/", 1)[1] for url in asked] == ["kubelet.sha256", "kubectl.sha256"]
    assert f"localhost:{port}" in tried["kubelet"][0]
    assert tried["kube-proxy"] == tried["kubelet"]
