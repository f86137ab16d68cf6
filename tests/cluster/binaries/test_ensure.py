"""The order of the ways to a program, and what is said when none leads there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labsupport.cluster import binaries, versions
from labsupport.cluster.binaries import build, release, store
from labsupport.errors import LabsError

VERSION = versions.program("kubelet").version
StandIn = Callable[..., Path]


@pytest.fixture(autouse=True)
def _no_network_and_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last two ways say that they were tried and give nothing."""

    def nothing(reason: str) -> Callable[..., dict[str, binaries.Binary]]:
        def way(
            programs: list[versions.Program], cache: Path, tried: dict[str, list[str]], environ: object
        ) -> dict[str, binaries.Binary]:
            for program in programs:
                tried[program.name].append(reason)
            return {}

        return way

    monkeypatch.setattr(release, "obtain", nothing("release: no network"))
    monkeypatch.setattr(build, "build", nothing("build: no Go"))


def ensure(
    tmp_path: Path, *names: str, path: Path | None = None, **more: object
) -> dict[str, binaries.Binary]:
    environ = {"PATH": str(path or tmp_path / "empty")}
    environ |= {key: str(value) for key, value in more.items() if key.startswith("LABS_BIN_")}
    explicit = more.get("explicit")
    return binaries.ensure(
        names or ("kubelet",),
        cache_dir=tmp_path / "cache",
        environ=environ,
        explicit=explicit,  # type: ignore[arg-type]
    )


def into_cache(tmp_path: Path, file: Path, **more: object) -> binaries.Binary:
    how: dict[str, object] = {"version": VERSION, "origin": "built", "unofficial": True} | more
    return store.install(tmp_path / "cache", file, name="kubelet", **how)  # type: ignore[arg-type]


def test_explicit_path_comes_first(tmp_path: Path, stand_in: StandIn) -> None:
    kept = into_cache(tmp_path, stand_in("new", VERSION))
    mine = stand_in("mine/any-name", VERSION, note="mine")
    for found in (
        ensure(tmp_path, LABS_BIN_KUBELET=mine),
        ensure(tmp_path, explicit={"kubelet": mine}),
        ensure(tmp_path, explicit={"kubelet": mine}, LABS_BIN_KUBELET="/absent"),
    ):
        assert (found["kubelet"].path, found["kubelet"].origin) == (mine, "explicit")
    assert ensure(tmp_path)["kubelet"].path == kept.path  # and it is not remembered


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_text("#!/bin/sh\n"), "not executable"),
        (lambda path: (path.write_text("#!/absent/sh\n"), path.chmod(0o755)), "does not start"),
        (
            lambda path: (path.write_text("#!/bin/sh\necho hello\n"), path.chmod(0o755)),
            "said no version: hello",
        ),
        (
            lambda path: (path.write_text("#!/bin/sh\necho 'GitVersion:\"v1.36.0\"'\n"), path.chmod(0o755)),
            "is version 1.36.0, needed is 1.37.2",
        ),
    ],
)
def test_a_wrong_explicit_path_is_an_error(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    mine = tmp_path / "mine"
    make(mine)
    with pytest.raises(LabsError, match=message) as caught:
        ensure(tmp_path, LABS_BIN_KUBELET=mine)
    assert "unset LABS_BIN_KUBELET" in caught.value.fix


def test_cache_comes_before_path(tmp_path: Path, stand_in: StandIn) -> None:
    stand_in("bin/kubelet", VERSION, note="on PATH")
    kept = into_cache(tmp_path, stand_in("new", VERSION))
    found = ensure(tmp_path, path=tmp_path / "bin")["kubelet"]
    assert (found.path, found.origin, found.unofficial, found.digest) == (
        kept.path,
        "cache",
        True,
        kept.digest,
    )
    assert kept.path.parent.name == f"kubelet-{VERSION}-{kept.digest[:12]}"
    assert json.loads(kept.path.with_suffix(".json").read_text())["origin"] == "built"


def test_a_damaged_program_in_the_cache_is_noticed(tmp_path: Path, stand_in: StandIn) -> None:
    kept = into_cache(tmp_path, stand_in("new", VERSION))
    assert ensure(tmp_path)["kubelet"].path == kept.path
    content = kept.path.read_bytes()
    status = kept.path.stat()
    kept.path.write_bytes(content.replace(b"#", b"@", 1))  # same size
    os.utime(kept.path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(LabsError, match="is damaged: its digest is not the recorded one"):
        ensure(tmp_path)
    kept.path.write_bytes(content)  # whole again under a new time: only looked at again
    assert ensure(tmp_path)["kubelet"].path == kept.path


def test_another_version_in_the_cache_is_not_taken(tmp_path: Path, stand_in: StandIn) -> None:
    into_cache(tmp_path, stand_in("new", "1.36.0"), version="1.36.0")
    with pytest.raises(LabsError, match=f"cache: none of version {VERSION}"):
        ensure(tmp_path)


def test_path_at_the_right_version(tmp_path: Path, stand_in: StandIn) -> None:
    stand_in("old/kubelet", "1.36.0")
    right = stand_in("bin/kubelet", VERSION, official=False)
    found = ensure(tmp_path, path=Path(f"{tmp_path}/old:{tmp_path}/bin"))["kubelet"]
    assert (found.path, found.origin, found.unofficial) == (right, "path", True)
    right.unlink()
    with pytest.raises(LabsError):  # what was remembered of PATH holds while the file is there
        ensure(tmp_path)


def test_every_way_is_named(tmp_path: Path, stand_in: StandIn) -> None:
    stand_in("old/kubelet", "1.36.0")
    with pytest.raises(LabsError) as caught:
        ensure(tmp_path, "kubelet", "etcd", path=tmp_path / "old")
    text = caught.value.what
    assert f"kubelet {VERSION}" in text
    assert "etcd 3.7.0" in text
    for reason in (
        f"cache: none of version {VERSION}",
        f"PATH: {tmp_path}/old/kubelet is version 1.36.0",
        "PATH: none",
        "release: no network",
        "build: no Go",
    ):
        assert f"- {reason}" in text


def test_unknown_program(tmp_path: Path) -> None:
    with pytest.raises(LabsError, match="no program 'docker'"):
        ensure(tmp_path, "docker")


def test_a_damaged_index_only_costs_time(tmp_path: Path, stand_in: StandIn) -> None:
    kept = into_cache(tmp_path, stand_in("new", VERSION))
    index = tmp_path / "cache/bin/ready.json"
    for text in ("", "{", "[]", '{"key": 1}', '{"key": "x", "programs": []}'):
        index.write_text(text)
        assert ensure(tmp_path)["kubelet"].path == kept.path
    record = json.loads(index.read_text())
    record["programs"]["kubelet"] = {"path": 1}
    index.write_text(json.dumps(record))
    assert ensure(tmp_path)["kubelet"].path == kept.path


def test_what_was_found_before_is_found_fast(tmp_path: Path, stand_in: StandIn) -> None:
    """The second call reads one small file and imports nothing that is slow to import."""
    into_cache(tmp_path, stand_in("new", VERSION))
    ensure(tmp_path)
    code = f"""
import sys, time
from pathlib import Path
from labsupport.cluster import binaries
began = time.perf_counter()
found = binaries.ensure(["kubelet"], cache_dir=Path({str(tmp_path / "cache")!r}))
assert found["kubelet"].origin == "cache"
slow = {{"pydantic", "rich", "requests", "subprocess", "kubernetes", "platformdirs"}} & set(sys.modules)
print(sorted(slow))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
