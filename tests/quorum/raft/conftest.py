"""What a simulated world changes for everybody is as before after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from labsupport.quorum.raft import replication, snapshots


@pytest.fixture(autouse=True)
def sizes_of_messages() -> Iterator[None]:
    before = replication.APPEND_BYTES, snapshots.CHUNK_BYTES
    yield
    replication.APPEND_BYTES, snapshots.CHUNK_BYTES = before
