"""The fetcher against servers that behave well, badly, and not at all."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from labsupport.cluster.binaries import fetch

BODY = bytes(range(256)) * 4096  # 1 MiB
QUICK = fetch.Limits(connect=1.0, stall=0.4, rate=1000, attempts=2)


def test_good(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY)
    seen: list[tuple[int, int | None]] = []
    fetch.download(
        fetch.session(),
        site.url + "/program",
        tmp_path / "program",
        sha256=file.sha256,
        on_bytes=lambda done, total: seen.append((done, total)),
    )
    assert (tmp_path / "program").read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY))
    assert [path.name for path in tmp_path.iterdir()] == ["program"]


def test_wrong_digest_leaves_nothing(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    site.add("/program", BODY)
    with pytest.raises(fetch.WrongDigest, match="the list of checksums says 0000"):
        fetch.download(
            fetch.session(), site.url + "/program", tmp_path / "program", sha256="0" * 64, limits=QUICK
        )
    assert list(tmp_path.iterdir()) == []
    assert len(site.requests) == 1  # fetching the same wrong file again would not help


def test_truncated_once_is_taken_up_where_it_stopped(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY, cut_after=300_000)
    fetch.download(
        fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256, limits=QUICK
    )
    assert (tmp_path / "program").read_bytes() == BODY
    assert site.requests == [("/program", None), ("/program", "bytes=300000-")]


def test_truncated_always_says_so_and_keeps_what_came(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY, cut_after=1000, cut_always=True)
    with pytest.raises(
        fetch.FetchError, match=r"broken off after 2000 of 1048576 bytes.*tried 2 times; 2000 bytes"
    ):
        fetch.download(
            fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256, limits=QUICK
        )
    assert [path.name for path in tmp_path.iterdir()] == ["program.part"]


def test_resumed_by_the_next_call(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY)
    (tmp_path / "program.part").write_bytes(BODY[:5000])
    fetch.download(fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256)
    assert site.requests == [("/program", "bytes=5000-")]
    assert (tmp_path / "program").read_bytes() == BODY


def test_resumed_when_all_was_there(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY)
    (tmp_path / "program.part").write_bytes(BODY)
    fetch.download(fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256)
    assert (tmp_path / "program").read_bytes() == BODY


def test_kept_part_of_another_file_is_fetched_anew(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY)
    (tmp_path / "program.part").write_bytes(b"x" * 5000)
    fetch.download(fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256)
    assert (tmp_path / "program").read_bytes() == BODY
    assert site.requests == [("/program", "bytes=5000-"), ("/program", None)]


def test_server_without_ranges(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY, ranges=False)
    (tmp_path / "program.part").write_bytes(BODY[:5000])
    fetch.download(fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256)
    assert (tmp_path / "program").read_bytes() == BODY


def test_a_longer_part_leaves_no_tail(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY, ranges=False)
    (tmp_path / "program.part").write_bytes(b"x" * (len(BODY) + 1))
    fetch.download(fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256)
    assert (tmp_path / "program").read_bytes() == BODY
    assert len(site.requests) == 1


def test_not_found(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    with pytest.raises(fetch.FetchError, match="/absent: 404"):
        fetch.download(
            fetch.session(), site.url + "/absent", tmp_path / "program", sha256="0" * 64, limits=QUICK
        )
    assert list(tmp_path.iterdir()) == []


def test_stalled(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY, stall=2.0)
    began = time.monotonic()
    with pytest.raises(fetch.FetchError, match="stopped after 0 of 1048576 bytes"):
        fetch.download(
            fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256, limits=QUICK
        )
    assert time.monotonic() - began < 1.9


def test_trickle_is_too_slow(serve: Callable[..., Any], tmp_path: Path) -> None:
    site = serve()
    file = site.add("/program", BODY, trickle=0.05)  # never silent for the stall time, and never done either
    with pytest.raises(fetch.FetchError, match=r"too slow: \d+ bytes in the last"):
        fetch.download(
            fetch.session(), site.url + "/program", tmp_path / "program", sha256=file.sha256, limits=QUICK
        )


def test_unreachable_fails_fast() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # free again at once, so nobody listens there
    began = time.monotonic()
    with pytest.raises(fetch.Unreachable, match=rf"localhost:{port}: .*[Cc]onnection refused"):
        fetch.text(fetch.session(), f"http://localhost:{port}/sums", QUICK)
    assert time.monotonic() - began < 1


def test_http_proxy(serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = serve()
    file = proxy.add("/program", BODY)
    monkeypatch.setenv("http_proxy", proxy.url)
    fetch.download(
        fetch.session(),
        "http://releases.example/program",
        tmp_path / "program",
        sha256=file.sha256,
        limits=QUICK,
    )
    assert proxy.connections == ["releases.example"]


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate authority of our own (its certificate) and a server's key and certificate from it."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))

    def builder(subject: str, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("own authority"))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    authority = (
        builder("own authority", authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        builder("localhost", key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    bundle, server = tmp_path / "authority.pem", tmp_path / "server.pem"
    bundle.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    server.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return bundle, server


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_own_authority(
    serve: Callable[..., Any],
    certificates: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    bundle, server = certificates
    site = serve(server)
    site.add("/sums", b"text")
    with pytest.raises(fetch.Unreachable, match=r"(?i)certificate verify failed.*set SSL_CERT_FILE"):
        fetch.text(fetch.session(), site.url + "/sums", QUICK)
    monkeypatch.setenv(variable, str(bundle))
    assert fetch.text(fetch.session(), site.url + "/sums", QUICK) == "text"


def test_https_proxy(
    serve: Callable[..., Any], certificates: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, server = certificates
    site, proxy = serve(server), serve()
    site.add("/sums", b"text")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    assert fetch.text(fetch.session(), site.url + "/sums", QUICK) == "text"
    assert proxy.connections == [site.url.removeprefix("https://")]


def test_dead_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{port}")
    with pytest.raises(fetch.Unreachable, match=r"releases\.example: the proxy did not connect"):
        fetch.text(fetch.session(), "https://releases.example/sums", QUICK)


def test_checksum_lists() -> None:
    digest, other = "a" * 64, "b" * 64
    assert fetch.checksum_in(digest + "\n", "kubectl") == digest
    assert fetch.checksum_in(f"{other}  etcd.zip\n{digest} *release/etcd.tar.gz\n", "etcd.tar.gz") == digest
    with pytest.raises(fetch.FetchError, match=r"no SHA-256 digest of etcd\.tar\.gz"):
        fetch.checksum_in(f"{other}  etcd.zip\n<html>", "etcd.tar.gz")


def test_a_text_is_no_larger_than_it_should_be(serve: Callable[..., Any]) -> None:
    site = serve()
    site.add("/objects", b"x" * (2 << 20))
    with pytest.raises(fetch.FetchError, match="larger than 1024 kB"):
        fetch.text(fetch.session(), site.url + "/objects", QUICK)
    assert len(fetch.text(fetch.session(), site.url + "/objects", QUICK, largest=3 << 20)) == 2 << 20
