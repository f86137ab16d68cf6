"""What lab O5 makes of an upgrader's records, and of what a Quorum says, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.course.lessons import upgrades
from labsupport.course.lessons.upgrades import Run

WROTE = {"acknowledged": 90, "refused": 0, "lost": 0, "gap_s": 0.314}


def record(at: float, why: str, leader: str = "q-0", deletes: str = "") -> dict[str, Any]:
    said = {"record": "upgrade", "at": at, "quorum": "q", "said": "", "why": why}
    return said | {"leader": leader, "deletes": deletes}


TOLD = [
    record(10.0, "1.1 is gone to"),
    record(11.0, "q-1 becomes 1.1", deletes="q-1"),
    record(15.0, "q-0 becomes 1.1", deletes="q-0"),
    record(19.0, "nothing is due", leader="q-1"),
]


def test_who_was_changed_and_whether_it_led() -> None:
    run = Run("1.1", "there", 9.0, WROTE, TOLD)
    assert run.changed == [("q-1", False), ("q-0", True)]
    assert run.last == "nothing is due"
    assert "90 confirmed" in str(run)
    assert "0.31 s" in str(run)
    assert "5.0 s" in repr(run)
    assert "q-0 becomes 1.1" in run._repr_html_()


def test_the_last_upgrade_begins_where_a_release_was_gone_to(monkeypatch: pytest.MonkeyPatch) -> None:
    back = [record(30.0, "1.0 is gone to"), record(34.5, "nothing is due")]
    lab: Any = type("Lab", (), {"world": None})()
    monkeypatch.setattr(upgrades, "records", lambda world, name: [*TOLD, *back])
    run = upgrades.last(lab)
    assert isinstance(run, Run)
    assert (run.target, run.seconds, len(run.records)) == ("1.0", 4.5, 2)
    monkeypatch.setattr(upgrades, "records", lambda world, name: [])
    assert "No upgrade" in str(upgrades.last(lab))


def quorum(generation: int = 2, **said: tuple[str, str]) -> dict[str, Any]:
    wanted = {
        "Available": ("True", "Quorum"),
        "KeyReady": ("True", "Ready"),
        "Progressing": ("False", "AsWanted"),
    }
    conditions = [
        {"type": kind, "status": status, "reason": reason, "observedGeneration": 2}
        for kind, (status, reason) in ({"UpgradeBlocked": ("False", "AsWanted")} | wanted | said).items()
    ]
    status = {"observedGeneration": 2, "voters": 3, "ready": 3, "release": "1.1", "conditions": conditions}
    return {"metadata": {"generation": generation}, "spec": {"size": 3, "release": "1.1"}, "status": status}


def test_when_an_upgrade_is_over() -> None:
    assert upgrades._over([quorum()]).done
    assert not upgrades._over([quorum(generation=3)]).done  # it speaks of an older wish
    assert not upgrades._over([quorum(Progressing=("True", "Upgrading"))]).done
    under_way = quorum()
    under_way["status"]["upgrade"] = {"stage": "Rolling"}
    assert not upgrades._over([under_way]).done
    failed = {"UpgradeBlocked": ("True", "GateFailed"), "Progressing": ("False", "GateFailed")}
    blocked = quorum(**failed)
    blocked["status"] |= {"upgrade": {"stage": "Failed"}, "release": "1.0"}
    assert upgrades._over([blocked]).done
    assert upgrades._blocked(blocked) == "GateFailed"
    assert not upgrades._over([quorum(generation=3, **failed)]).done  # the failure of the attempt before
    assert upgrades._over([]).failed
