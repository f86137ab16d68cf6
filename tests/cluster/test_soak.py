"""The soak's arithmetic and readings; its Pods need a cluster (tests/on_cluster/test_soak.py)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from labsupport.cluster import soak


def result(memory: list[float]) -> soak.Result:
    """Readings of one component a minute apart; the first third is not counted."""
    made = soak.Result(minutes=len(memory), warm=len(memory) * 20, pods=30, rounds=[1.0, 2.0, 3.0])
    for number, value in enumerate(memory):
        made.times.append(number * 60.0)
        made.readings.append(
            {("etcd", what): 5.0 for what in soak.FIELDS}
            | {("etcd", "memory MB"): value, ("node", "addresses"): 1.0}
        )
    return made


def test_the_warm_up_is_not_counted() -> None:
    settled = result([10, 200, 400, 500, *[500.0] * 8])
    assert soak.growing_of(settled.trends()) == []
    assert settled.as_dict()["trends"][3]["first"] == 500


def test_what_grows_is_named() -> None:
    leaking = result([100.0 + 10 * number for number in range(12)])
    assert soak.growing_of(leaking.trends()) == [("etcd", "memory MB")]
    told = soak.describe(leaking)
    assert "What grows: etcd, memory MB: 140.0 to 210.0" in told
    assert "node, addresses: 1 to 1" in told


def test_a_component_that_came_late_has_a_trend_of_its_own() -> None:
    late = result([100.0] * 12)
    for number in (9, 10, 11):
        late.readings[number]["coredns", "open files"] = 7.0
    assert late.trends()["coredns", "open files"].mean == 7


def test_inotify_watches_are_counted(tmp_path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    before = soak.inotify_watches(os.getpid())
    watcher = libc.inotify_init()
    try:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            assert libc.inotify_add_watch(watcher, str(tmp_path / name).encode(), 0x100) >= 0
        assert soak.inotify_watches(os.getpid()) == before + 2
    finally:
        os.close(watcher)


def test_a_process_that_is_gone_has_no_watches() -> None:
    assert soak.inotify_watches(2**22 + 1) == 0


def test_too_short_a_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least 3"):
        result([1.0, 2.0]).trends()
