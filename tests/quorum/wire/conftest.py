"""Authorities for members' certificates: the Quorum's, and one that is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quorum.wire.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def foreign(tmp_path: Path) -> Authority:
    (tmp_path / "foreign").mkdir()
    return Authority(tmp_path / "foreign")
