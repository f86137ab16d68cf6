"""CI's helpers for kind that need no Docker: what kind-runc takes out of a container's configuration."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).resolve().parent.parent / ".ci"


@pytest.fixture
def runc(tmp_path: Path) -> Path:
    """kind-runc, which becomes a program that prints its arguments instead of runc."""
    fake = tmp_path / "runc"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    copy = tmp_path / "kind-runc"
    copy.write_text((CI / "kind-runc").read_text().replace("/usr/sbin/runc", str(fake)))
    copy.chmod(0o755)
    return copy


RIGHTS = ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"]


def process() -> dict[str, object]:
    return {"capabilities": {"bounding": RIGHTS, "effective": RIGHTS}, "oomScoreAdj": -999}


@pytest.mark.parametrize("spelling", [("--bundle", "{}"), ("--bundle={}",), ("-b", "{}")])
def test_a_bundle_loses_the_right_and_the_score(
    runc: Path, tmp_path: Path, spelling: tuple[str, ...]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"process": process(), "root": {"path": "rootfs"}}))
    words = ["--root", "/run/x", "create", *(word.format(tmp_path) for word in spelling), "name"]
    done = subprocess.run([runc, *words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == words
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["process"]["capabilities"] == {
        "bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"],
        "effective": ["CAP_CHOWN", "CAP_SYS_ADMIN"],
    }
    assert content["process"]["oomScoreAdj"] == 0
    assert content["root"] == {"path": "rootfs"}


def test_a_process_file_as_well(runc: Path, tmp_path: Path) -> None:
    (tmp_path / "process.json").write_text(json.dumps(process()))
    subprocess.run(
        [runc, "exec", "--process", tmp_path / "process.json", "name"], check=True, capture_output=True
    )
    assert "CAP_SYS_RESOURCE" not in (tmp_path / "process.json").read_text()


def test_other_commands_pass_through(runc: Path) -> None:
    done = subprocess.run([runc, "kill", "name", "KILL"], capture_output=True, text=True, check=True)
    assert done.stdout == "kill name KILL\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root could run it")
def test_kind_host_says_why_it_cannot_run() -> None:
    done = subprocess.run([CI / "kind-host", "true"], capture_output=True, text=True)
    assert done.returncode == 77
    assert "root" in done.stdout
