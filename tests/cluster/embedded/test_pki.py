"""Certificates: complete, consistent, kept while good, renewed when not."""

from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509

from labsupport.cluster.embedded import pki

LEAVES = pki.leaves("node-1", "192.168.77.1", "10.96.0.1")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    pki.ensure(tmp_path / "pki", tmp_path / "admin", LEAVES)
    return tmp_path


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_everything_is_made_once_and_private(made: Path) -> None:
    files = [path for path in made.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert len(files) == 2 * (len(LEAVES) + len(pki.AUTHORITIES) + 1) + 2
    assert pki.ensure(made / "pki", made / "admin", LEAVES) == ()


def test_administrator_key_is_not_where_the_node_can_read_it(made: Path) -> None:
    assert not (made / "pki/admin.key").exists()
    assert (made / "admin/admin.key").exists()


def test_identities_are_those_that_kubernetes_expects(made: Path) -> None:
    kubelet = certificate(made / "pki/kubelet.crt").subject.rfc4514_string()
    assert "CN=system:node:node-1" in kubelet
    assert "O=system:nodes" in kubelet
    names = certificate(made / "pki/apiserver.crt").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "kubernetes.default.svc" in names.value.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("scheduler.crt", b""),
        ("scheduler.crt", b"-----BEGIN CERTIFICATE-----\nhalf"),
        ("scheduler.key", b"not a key"),
    ],
)
def test_a_damaged_file_is_replaced_and_nothing_else(made: Path, file: str, damage: bytes) -> None:
    other = (made / "pki/kubelet.crt").read_bytes()
    (made / "pki" / file).write_bytes(damage)
    assert pki.due(made / "pki", made / "admin", LEAVES) == ("scheduler",)
    assert pki.ensure(made / "pki", made / "admin", LEAVES) == ("scheduler",)
    assert (made / "pki/kubelet.crt").read_bytes() == other


def test_a_key_of_another_certificate_is_noticed(made: Path) -> None:
    (made / "pki/scheduler.key").write_bytes((made / "pki/kubelet.key").read_bytes())
    assert pki.ensure(made / "pki", made / "admin", LEAVES) == ("scheduler",)


def test_renewed_before_the_end_but_not_earlier(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.datetime.now(datetime.UTC)
    tokens = (made / "pki/sa.key").read_bytes()
    monkeypatch.setattr(
        pki, "_now", lambda: now + pki.LEAF_LIFE - pki.RENEW_BEFORE - datetime.timedelta(days=1)
    )
    assert pki.ensure(made / "pki", made / "admin", LEAVES) == ()
    monkeypatch.setattr(pki, "_now", lambda: now + pki.LEAF_LIFE - datetime.timedelta(days=1))
    assert set(pki.ensure(made / "pki", made / "admin", LEAVES)) == {leaf.file for leaf in LEAVES} | {"admin"}
    assert (made / "pki/sa.key").read_bytes() == tokens


def test_a_new_authority_signs_everything_anew(made: Path) -> None:
    (made / "pki/etcd-ca.key").unlink()
    assert set(pki.ensure(made / "pki", made / "admin", LEAVES)) == {
        "etcd-ca",
        "etcd",
        "apiserver-etcd-client",
    }


def test_changed_names_are_issued(made: Path) -> None:
    moved = pki.leaves("node-1", "192.168.77.9", "10.96.0.1")
    assert set(pki.ensure(made / "pki", made / "admin", moved)) == {"apiserver", "kubelet"}
