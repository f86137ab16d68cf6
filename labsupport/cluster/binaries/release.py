"""Official releases (first form: none)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labsupport.cluster.versions import Program

from . import Binary


def fetch(programs: Sequence[Program], cache_dir: Path, tried: dict[str, list[str]]) -> dict[str, Binary]:
    for p in programs:
        tried[p.name].append("release: not yet")
    return {}
