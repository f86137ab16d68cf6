"""A cluster's directory on the host: its files, its lock, and how to remove it whole.

Layout: `<state>/clusters/<name>/` with `cluster.json` (what it is), `kubeconfig`, `pki/` (what only the host may have),
`node/` (what the node sees), `launcher.json` and `launcher.log` (the process that holds it).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labsupport import paths
from labsupport.errors import LabsError

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")  # RFC 1123 label, short enough for socket paths
CURRENT_FORMAT = 1


def clusters_directory() -> Path:
    """Parent of all clusters' directories (not made here)."""
    return paths.state_location() / "clusters"


@dataclass(frozen=True)
class ClusterDirectory:
    """The paths of one cluster."""

    name: str
    # Fixed when the object is made: what it means does not change with the environment afterwards.
    parent: Path = field(default_factory=clusters_directory)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise LabsError(
                f"{self.name!r} cannot be a cluster's name.",
                fix="use lower-case letters, digits and dashes, at most 32",
            )

    @property
    def root(self) -> Path:
        """The directory itself."""
        return self.parent / self.name

    @property
    def record(self) -> Path:
        """cluster.json: back end, format, what was applied."""
        return self.root / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.root / "kubeconfig"

    def make(self) -> None:
        """Make the directory and its parents, 0700."""
        paths.private_directory(self.parent.parent)
        paths.private_directory(self.parent)
        paths.private_directory(self.root)

    def read_record(self) -> dict[str, Any]:
        """Content of cluster.json; {} where there is none or an interrupted write left nonsense."""
        try:
            record = json.loads(self.record.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(record, dict):
            return {}
        if record.get("format", CURRENT_FORMAT) > CURRENT_FORMAT:
            raise LabsError(
                f"Cluster {self.name!r} was made by a newer version of this course ({self.record}).",
                fix=f"update this clone, or `labs down --name {self.name}` with the version that made it",
            )
        return record

    def update_record(self, **changes: Any) -> None:
        """Merge `changes` into cluster.json."""
        record = {**self.read_record(), **changes, "format": CURRENT_FORMAT}
        paths.write_private(self.record, json.dumps(record, indent=1, sort_keys=True))

    @contextmanager
    def locked(self, doing: str) -> Iterator[None]:
        """Hold the cluster's lock. A lock file left by a process that died holds nothing: the kernel let it go.

        Raises LabsError when another command holds it, naming that command.
        """
        paths.private_directory(self.parent.parent)
        paths.private_directory(self.parent)
        path = self.parent / f".{self.name}.lock"
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another command"
                os.close(descriptor)
                raise LabsError(
                    f"Cluster {self.name!r} is in use by {holder}.",
                    fix="wait until it has ended, then run this command again",
                    anchor="in-use",
                ) from None
            # Whoever held it before may have removed the file: then our lock is on a file that no one else will see.
            with suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == path.stat().st_ino:
                    break
            os.close(descriptor)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"`labs {doing}` (process {os.getpid()})\n".encode(), 0)
            yield
        finally:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            remove_empty(self.parent, self.parent.parent)

    def remove(self) -> None:
        """Remove the directory and everything in it."""
        remove_tree(self.root)


def remove_tree(path: Path) -> None:
    """Remove a tree, also where containers left directories that nobody may search (overlay work directories)."""

    def open_up_and_retry(function: Any, failed: str, error: Any) -> None:
        if isinstance(error[1], FileNotFoundError):
            return
        opened = False
        for directory in (Path(failed).parent, Path(failed)):
            with suppress(OSError):
                mode = directory.lstat().st_mode
                if stat.S_ISDIR(mode) and mode & 0o700 != 0o700:
                    directory.chmod(0o700)
                    opened = True
        if not opened:  # another user's, or no question of rights: the same again would fail again
            error[1].filename = failed
            raise error[1]
        if function in (os.scandir, os.open, os.lstat):
            shutil.rmtree(failed, onerror=open_up_and_retry)
        else:
            function(failed)

    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, onerror=open_up_and_retry)


def remove_empty(*directories: Path) -> None:
    """Remove those of the directories that are empty, in the order given."""
    for directory in directories:
        with suppress(OSError):
            directory.rmdir()


def existing() -> tuple[str, ...]:
    """Names of the clusters that have state on this machine, sorted."""
    try:
        entries = [entry.name for entry in clusters_directory().iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return ()
    return tuple(sorted(name for name in entries if NAME.fullmatch(name)))
