"""Where things are kept: the repository's own files and the user's XDG directories.

Source: XDG Base Directory Specification 0.8. Directories that we make are 0700 (house rule 6).
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

REPOSITORY = Path(__file__).resolve().parent.parent
CLUSTERS = REPOSITORY / "clusters"
LABS = REPOSITORY / "labs"


def private_directory(path: Path) -> Path:
    """Make `path` and its parents; `path` itself is 0700."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def cache() -> Path:
    """Directory of what can be fetched or built again: programs, the course root, build scratch."""
    return private_directory(Path(platformdirs.user_cache_dir("labs")))


def state_location() -> Path:
    """Where `state()` is or will be; makes nothing, so that looking leaves no trace."""
    return Path(platformdirs.user_state_dir("labs"))


def state() -> Path:
    """Directory of clusters (one directory each under `clusters/`) and of JupyterLab's run files."""
    return private_directory(state_location())


def data() -> Path:
    """Directory of the learner's own records (progress)."""
    return private_directory(Path(platformdirs.user_data_dir("labs")))


def write_private(path: Path, content: str | bytes) -> None:
    """Replace `path` in one step by a 0600 file; a reader sees the old content or the new, never half of it."""
    payload = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(payload)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
