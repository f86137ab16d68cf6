"""A small bundle."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.bundle.making import Made, make
from labsupport.cluster.bundle.part import Part

from .samples import Maker


@pytest.fixture
def write(tmp_path: Path) -> Maker:
    """`write(directory, *parts)`: make a bundle of the parts."""

    def run(directory: Path, *parts: Part) -> Made:
        return make(directory, parts, tmp_path / "lock")

    return run
