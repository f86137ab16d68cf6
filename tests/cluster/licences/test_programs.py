"""What programs are made of, whatever they came in."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster import versions
from labsupport.cluster.binaries import Binary
from labsupport.cluster.licences import programs
from labsupport.errors import LabsError


def binary(name: str, path: Path = Path("nowhere")) -> Binary:
    return Binary(name, versions.program(name).version, path, "cache", True, "digest")


def test_a_program_from_a_wheel_has_the_texts_that_the_course_keeps(tmp_path: Path) -> None:
    (package,) = programs.inside(binary("envoy"), tmp_path)
    assert (package.name, package.licence, package.relation) == ("envoy", "Apache-2.0", "CONTAINS")
    assert [text.name for text in package.texts] == ["LICENSE", "NOTICE"]
    assert package.purl.endswith(f"@v{package.version}")


def test_what_is_no_go_program_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "etcd"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(LabsError, match="cannot tell what etcd is made of"):
        programs.inside(binary("etcd", script), tmp_path)
