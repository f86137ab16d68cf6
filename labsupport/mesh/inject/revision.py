"""Of which making a proxy is: a short digest of the code that is in the sidecar and of what injection adds.

An image name stays the same while a course is worked on, so it cannot say whether a Pod's proxy is an older one.
Envoy's own version is not part of it: a new one is a new image name.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent


def revision(mesh: Path = HERE) -> str:
    """Twelve hexadecimal digits for the mesh's package in the directory `mesh`."""
    files = [
        mesh / "names.py",
        *sorted((mesh / "proxy").glob("*.py")),
        *sorted((mesh / "inject").glob("*.py")),
    ]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(mesh).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
