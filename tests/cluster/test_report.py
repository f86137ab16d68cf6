"""The archive: whole, private, and without the secrets planted in a cluster's directory."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from labsupport.cluster import doctor, report
from labsupport.errors import LabsError

PLANTED = "f00dfeedf00dfeedf00dfeedf00dfeed"
KEY_LINE = "MHcCAQEEIPlantedPlantedPlantedPlantedPlantedPlantedPlantedPl1234"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster's directory with secrets in every file that a report takes; the cluster itself is down."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "examine", lambda name: ())

    def no_cluster() -> None:
        raise LabsError(f"no cluster; token: {PLANTED}")

    fake = SimpleNamespace(status=no_cluster, kubeconfig=tmp_path / "none")
    monkeypatch.setattr(report, "get", lambda name: fake)
    root = tmp_path / "state/labs/clusters/labs"
    for place in ("pki", "node/host", "node/var/log/labs", "node/var/log/pods/default_web_1/web"):
        (root / place).mkdir(parents=True)
    (root / "pki/ca.key").write_text(
        f"-----BEGIN EC PRIVATE KEY-----\n{KEY_LINE}\n-----END EC PRIVATE KEY-----\n"
    )
    (root / "kubeconfig").write_text(f"users:\n- user:\n    client-key-data: {PLANTED}\n")
    (root / "cluster.json").write_text(json.dumps({"backend": "embedded", "home": str(Path.home())}))
    (root / "launcher.log").write_text(f"started\nkey {KEY_LINE}\n")
    (root / "node/host/status.json").write_text(json.dumps({"token": PLANTED}))
    (root / "workers/node-2/var/log/labs").mkdir(parents=True)
    (root / "workers/node-2/var/log/labs/kubelet.log").write_text(f"E1125 y failed\nodd <{PLANTED}>\n")
    (root / "node/var/log/labs/kubelet.log").write_text(f"E1125 x failed\nodd <{PLANTED}>\n")
    (root / "node/var/log/pods/default_web_1/web/0.log").write_text(f"Authorization: Bearer {PLANTED}\n")
    return root


def members(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive:
            assert (entry.uname, entry.uid) == ("", 0), "the archive names nobody"
            extracted = archive.extractfile(entry)
            assert extracted is not None
            found[entry.name.removeprefix("labs-report/")] = extracted.read().decode()
        return found


def test_no_planted_secret_is_in_the_archive(cluster: Path, tmp_path: Path) -> None:
    made = report.make("labs", tmp_path / "out.tar.gz")
    files = members(made.path)
    everything = "\n".join(files.values())
    assert PLANTED not in everything
    assert KEY_LINE not in everything
    assert str(Path.home()) + '"' not in everything
    assert "E1125 x failed" in files["logs/labs/kubelet.log"]
    assert "logs/pods/default_web_1/web/0.log" in files
    assert made.replacements >= 5
    assert set(made.files) == set(files)


def test_the_archive_is_private_and_never_replaces_a_file(cluster: Path, tmp_path: Path) -> None:
    made = report.make("labs", tmp_path / "out.tar.gz")
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600
    with pytest.raises(LabsError, match="already"):
        report.make("labs", tmp_path / "out.tar.gz")


def test_what_cannot_be_had_says_why(cluster: Path, tmp_path: Path) -> None:
    files = members(report.make("labs", tmp_path / "out.tar.gz").path)
    assert "no cluster" in files["status.json.failed"]
    assert "kubeconfig" in files["cluster/pods.json.failed"]
    assert json.loads(files["versions.json"])["labs"]
    assert "E1125 x failed" in files["logs/labs/kubelet.log"]
    assert "E1125 y failed" in files["logs/node-2/labs/kubelet.log"]


def test_what_a_container_closed_or_made_a_link_is_passed_by(cluster: Path, tmp_path: Path) -> None:
    pods = cluster / "node/var/log/pods"
    (tmp_path / "diary").write_text("the learner's own words")
    (pods / "link.log").symlink_to(tmp_path / "diary")
    for name, mode in (("closed", 0), ("listed", 0o444)):
        (pods / name).mkdir()
        (pods / name / "0.log").touch()
        (pods / name).chmod(mode)
    try:
        files = members(report.make("labs", tmp_path / "out.tar.gz").path)
    finally:
        for name in ("closed", "listed"):
            (pods / name).chmod(0o700)
    assert "logs/pods/default_web_1/web/0.log" in files
    assert not any("link.log" in name for name in files)


def test_a_machine_without_a_cluster_can_be_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(doctor, "examine", lambda name: ())
    files = members(report.make("labs", tmp_path / "out.tar.gz").path)
    assert "doctor.json" in files
    assert not (tmp_path / "state/labs/clusters").exists()


def test_a_long_log_is_cut_at_a_line(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LOG_BYTES", 100)
    (cluster / "launcher.log").write_text("".join(f"line {number:04}\n" for number in range(100)))
    text = members(report.make("labs", tmp_path / "out.tar.gz").path)["state/launcher.log"]
    assert text.endswith("line 0099\n")
    assert text.startswith("line ")
    assert len(text) <= 100
