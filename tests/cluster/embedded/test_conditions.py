from __future__ import annotations

import datetime

from labsupport.cluster.embedded import conditions

NOW = datetime.datetime(2026, 11, 30, 9, 0, tzinfo=datetime.UTC)


def test_enforced_limits_are_named() -> None:
    said = conditions.limits(["cpu", "memory", "pids"], "", NOW)
    assert said["type"] == "ContainerLimitsEnforced"
    assert said["status"] == "True"
    assert said["message"] == "limits of memory and cpu are enforced"
    assert said["lastHeartbeatTime"] == "2026-11-30T09:00:00Z"


def test_memory_alone_says_what_is_missing() -> None:
    said = conditions.limits(["memory"], "", NOW)
    assert said["status"] == "True"
    assert "limits of memory are enforced; those of cpu are not" in said["message"]


def test_none_gives_the_reason() -> None:
    said = conditions.limits([], "this machine has none", NOW)
    assert said["status"] == "False"
    assert said["message"] == "limits of memory and cpu are not enforced: this machine has none"
