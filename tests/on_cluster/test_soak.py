"""A minute of Pods that come and go: the readings are real, and everything is taken away again."""

from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster import soak
from labsupport.cluster.directory import existing

pytestmark = pytest.mark.on_cluster


def test_pods_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(soak, "EVERY", 0.0)
    result = soak.soak(0.5)
    trends = result.trends()
    assert result.pods == soak.BATCH * len(result.rounds) > soak.BATCH
    assert trends["kube-apiserver", "memory MB"].mean > 50, soak.describe(result)
    assert trends["kubelet", "inotify watches"].mean > 1, soak.describe(result)
    assert trends["node", "records of sandboxes"].first > soak.BATCH, soak.describe(result)
    # The Pods of a round are gone when it is read: what is left are those of cluster DNS.
    assert trends["node", "addresses"].last == trends["node", "addresses"].first < soak.BATCH
    assert existing() == ()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
