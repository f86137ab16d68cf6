"""Programs in our cache: bin/<name>-<version>-<digest12>/<name>, and beside it <name>.json: where it came from.

The directory's name is given last, so what has a name is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from labsupport.paths import private_directory

from . import Binary, Origin


def digest_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def install(
    cache_dir: Path, file: Path, *, name: str, version: str, origin: Origin, unofficial: bool
) -> Binary:
    """Move `file` (on the same file system) into the cache as program `name`, in one step."""
    digest = digest_of(file)
    parent = private_directory(cache_dir / "bin")
    directory = parent / f"{name}-{version}-{digest[:12]}"
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        target = temporary / name
        file.rename(target)
        target.chmod(0o755)
        sidecar = {
            "name": name,
            "version": version,
            "digest": digest,
            "origin": origin,
            "unofficial": unofficial,
        }
        (temporary / f"{name}.json").write_text(json.dumps(sidecar, indent=1) + "\n")
        temporary.chmod(0o755)
        if directory.exists():
            shutil.rmtree(directory)  # damaged, or we would not be here
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Binary(name, version, directory / name, origin, unofficial, digest)


def find(cache_dir: Path, name: str, version: str) -> tuple[Binary | None, str]:
    """The cached program with its digest verified, or None and why not."""
    reason = f"none of version {version}"
    for sidecar in sorted((cache_dir / "bin").glob(f"{name}-{version}-*/{name}.json")):
        program = sidecar.with_suffix("")
        try:
            content = json.loads(sidecar.read_bytes())
            if digest_of(program) == content["digest"] and os.access(program, os.X_OK):
                return Binary(
                    name, version, program, "cache", bool(content["unofficial"]), content["digest"]
                ), ""
            reason = f"{program} is damaged: its digest is not the recorded one"
        except (OSError, ValueError, KeyError) as error:
            reason = f"{program} is damaged: {error}"
    return None, reason
