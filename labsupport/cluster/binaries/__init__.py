"""The cluster's programs: found, fetched or built, each at the one version that clusters/versions.toml names.

`ensure` returns at once what it returned before, as long as the files are the same: it compares size,
modification
time and inode with those recorded when the digest was last computed. Everything slower is imported when
needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

__all__ = ["Binary", "Origin", "ensure", "variable"]

Origin = Literal["explicit", "cache", "path", "release", "wheel", "built", "bundle"]
_VERSIONS = Path(__file__).resolve().parents[3] / "clusters" / "versions.toml"


@dataclass(frozen=True)
class Binary:
    """A program that may be run: where it is and where it came from.

    `unofficial`: it is no release of its project (we built it). `digest`: SHA-256, hexadecimal.
    """

    name: str
    version: str
    path: Path
    origin: Origin
    unofficial: bool
    digest: str


def variable(name: str) -> str:
    """The environment variable that gives a program's path, for instance LABS_BIN_KUBE_APISERVER."""
    return "LABS_BIN_" + name.upper().replace("-", "_")


def ensure(
    names: Iterable[str],
    *,
    cache_dir: Path,
    explicit: Mapping[str, Path] | None = None,
    environ: Mapping[str, str] | None = None,
) -> dict[str, Binary]:
    """Return each program of `names`, made available if need be.

    Ways, in this order: `explicit` or the variable LABS_BIN_<NAME> (which must then be right), our cache, PATH, the
    official release, a build from Go modules; for some a Python wheel in place of the last two. LabsError names for
    each missing program what was tried and why it did not work. Safe to interrupt, and to call from several processes.
    """
    wanted = list(dict.fromkeys(names))
    environment = os.environ if environ is None else environ
    given = {name: Path(environment[variable(name)]) for name in wanted if environment.get(variable(name))}
    given.update({name: Path(path) for name, path in (explicit or {}).items() if name in wanted})
    ready = _Ready(cache_dir)
    found = {} if given else ready.read(wanted)
    if len(found) < len(wanted):
        from labsupport.cluster.cachedir import explained_if_full  # only a cold cache pays for these imports

        from . import obtain

        with explained_if_full(cache_dir):
            found |= obtain.obtain([n for n in wanted if n not in found], cache_dir, given, environment)
            ready.write(found)
    return {name: found[name] for name in wanted}


def signature(path: Path) -> list[int]:
    """What changes when a file is replaced or written: size, modification time (ns), inode. OSError if it is gone."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


class _Ready:
    """The answers of earlier calls, in one small file, valid for one content of versions.toml."""

    def __init__(self, cache_dir: Path) -> None:
        self._file = cache_dir / "bin" / "ready.json"
        self._key = hashlib.sha256(_VERSIONS.read_bytes() + platform.machine().encode()).hexdigest()

    def read(self, names: Iterable[str]) -> dict[str, Binary]:
        """Those of `names` that are recorded and whose files have not changed since."""
        entries = self._entries()
        found = {}
        for name in names:
            try:
                entry = dict(entries[name])
                path = Path(entry.pop("path"))
                if entry.pop("signature") == signature(path):
                    found[name] = Binary(path=path, **entry)
            except (KeyError, TypeError, OSError):
                continue  # not recorded, recorded by another version of this module, or gone
        return found

    def write(self, binaries: Mapping[str, Binary]) -> None:
        """Record programs that need no second look; one given explicitly is looked at each time."""
        entries = self._entries()
        for name, binary in binaries.items():
            if binary.origin != "explicit":
                # Next time it comes from the cache, however it got there.
                origin = "path" if binary.origin == "path" else "cache"
                entries[name] = asdict(binary) | {
                    "path": str(binary.path),
                    "origin": origin,
                    "signature": signature(binary.path),
                }
        from labsupport.paths import write_private

        write_private(self._file, json.dumps({"key": self._key, "programs": entries}, indent=1))

    def _entries(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self._file.read_bytes())
            if content["key"] == self._key:
                return dict(content["programs"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none yet, or damaged: it only saves time
        return {}
