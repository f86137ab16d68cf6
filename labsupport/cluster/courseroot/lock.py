"""Writes clusters/images/course-root.lock anew: `python -m labsupport.cluster.courseroot.lock [amd64 arm64]`.

With `kind` as the first word: clusters/kind/node-root.lock; with `conformance`: clusters/conformance/test-root.lock.

It pins the newest versions that this machine's apt sources offer, for its release and each architecture named; lines
of other releases and architectures stay.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from labsupport.console import phase

from . import apt
from .description import IMAGES, Pin, host_platform, load

OTHERS = {
    "kind": (IMAGES.parent / "kind", "node-root"),
    "conformance": (IMAGES.parent / "conformance", "test-root"),
}


def pins_of(architecture: str, directory: Path = IMAGES, name: str = "course-root") -> dict[str, Pin]:
    """The newest version and digest of each package that the root `name` has. LabsError when apt fails."""
    description = load(directory, (host_platform()[0], architecture), name)
    below = (
        load(IMAGES, (host_platform()[0], architecture), description.over).pins if description.over else {}
    )
    with tempfile.TemporaryDirectory() as state, phase(f"package lists of {architecture}") as progress:
        private = apt.prepare(Path(state), architecture, progress.update)
        versions = apt.resolve(private, description.packages)
        left_out = description.leave_out | below.keys()
        kept = {name: version for name, version in versions.items() if name not in left_out}
        sha256 = apt.digests(private, kept)
    return {name: Pin(version, sha256[name]) for name, version in kept.items()}


def render(old: str, release: str, architecture: str, pins: dict[str, Pin]) -> str:
    """The lock's text with the lines of one release and architecture replaced."""
    prefix = f"{release} {architecture} "
    lines = [line for line in old.splitlines() if line and not line.startswith(prefix)]
    comments = [line for line in lines if line.startswith("#")]
    entries = [line for line in lines if not line.startswith("#")]
    entries += [f"{prefix}{name}={pin.version} {pin.sha256}" for name, pin in pins.items()]
    return "\n".join([*comments, *sorted(entries), ""])


def main(architectures: Sequence[str]) -> None:
    """Rewrite a lock for this machine's release."""
    other = next((word for word in architectures[:1] if word in OTHERS), "")
    directory, name = OTHERS.get(other, (IMAGES, "course-root"))
    file = directory / f"{name}.lock"
    for architecture in (architectures[1:] or ["amd64", "arm64"]) if other else architectures:
        pins = pins_of(architecture, directory, name)
        file.write_text(render(file.read_text(), host_platform()[0], architecture, pins))
        print(f"{host_platform()[0]} {architecture}: {len(pins)} packages")


if __name__ == "__main__":
    main(sys.argv[1:] or ["amd64", "arm64"])
