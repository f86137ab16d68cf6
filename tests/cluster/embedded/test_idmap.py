"""Which map of ids a caller gets."""

from __future__ import annotations

import pytest

from labsupport.cluster.embedded import idmap


@pytest.mark.parametrize(
    ("uid_map", "covered"),
    [
        ("         0          0 4294967295\n", True),
        ("0 1000 1\n1 100000 65536\n", False),
        (f"0 0 {idmap.ROOT_ID_BASE + idmap.ROOT_ID_COUNT - 1}\n", False),
        ("", False),
    ],
)
def test_covers(uid_map: str, covered: bool) -> None:
    assert idmap.covers(uid_map, idmap.ROOT_ID_BASE, idmap.ROOT_ID_COUNT) is covered


def test_an_ordinary_user_maps_himself_and_root_maps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.getegid", lambda: 1001)
    mine = idmap.for_this_user()
    assert (mine.uid_line(), mine.gid_line(), mine.owner_base) == ("0 1000 1", "0 1001 1", None)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(idmap, "covers", lambda *_: True)
    roots = idmap.for_this_user()
    assert roots.owner_base == idmap.ROOT_ID_BASE
    assert roots.uid_line() == "0 2000000000 65536"
