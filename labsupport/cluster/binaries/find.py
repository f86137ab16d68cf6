"""Programs that are already on the machine: asked for their version, since a name says nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from labsupport.cluster import process
from labsupport.cluster.versions import Program
from labsupport.errors import LabsError
from labsupport.patience import patient

from . import Binary, Origin, store, variable

PROBE_TIMEOUT = patient(20.0)  # seconds; a cold 100 MB program on a slow disk starts in a few


def probe(program: Program, path: Path) -> tuple[str, bool]:
    """The version that a program states, and whether it says to be an unofficial build. ValueError: why not."""
    if not path.is_file():
        raise ValueError("no such file")
    if not os.access(path, os.X_OK):
        raise ValueError("not executable")
    if not program.probe:
        return program.version, False  # it does not know; where it comes from must say it
    try:
        result = process.run([path, *program.probe], timeout=PROBE_TIMEOUT)
    except OSError as error:
        raise ValueError(f"does not start: {error.strerror}") from None
    except process.TimedOut:
        raise ValueError(f"said no version within {PROBE_TIMEOUT:.0f} s") from None
    said = result.stdout + "\n" + result.stderr
    version = re.search(program.version_pattern, said, re.MULTILINE)
    if version is None:
        raise ValueError(f"said no version: {result.reason(1)}")
    pattern = program.unofficial_pattern
    return version.group(1), bool(pattern) and re.search(pattern, said, re.MULTILINE) is not None


def _checked(program: Program, path: Path, origin: Origin) -> Binary:
    version, unofficial = probe(program, path)
    if version != program.version:
        raise ValueError(f"is version {version}, needed is {program.version}")
    return Binary(program.name, version, path.resolve(), origin, unofficial, store.digest_of(path))


def explicit(program: Program, path: Path) -> Binary:
    """The program that the user named. LabsError when it is not the right one: no other is taken in its place."""
    try:
        return _checked(program, path, "explicit")
    except ValueError as error:
        raise LabsError(
            f"{path}, given for {program.name}, {error}",
            fix=f"give the path of {program.name} {program.version}, or unset {variable(program.name)}",
        ) from None


def on_path(program: Program, environ: Mapping[str, str]) -> tuple[Binary | None, str]:
    """The first of the right version on PATH, or None and what was there."""
    if not program.probe:
        return None, "not looked for: it does not say its version"
    seen = []
    for directory in environ.get("PATH", os.defpath).split(os.pathsep):
        candidate = Path(directory or ".", program.name)
        if not os.access(candidate, os.X_OK) or candidate.is_dir():
            continue
        try:
            return _checked(program, candidate, "path"), ""
        except (ValueError, OSError) as error:
            seen.append(f"{candidate} {error}")
    return None, "; ".join(seen) or "none"
