"""The doctor on what kind needs: each problem that can be seen beforehand is named with its step."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from labsupport.cluster.doctor import engine
from labsupport.cluster.doctor.engine import EngineFacts
from labsupport.cluster.kind.docker import Trouble

GOOD = EngineFacts(
    None,
    name="docker",
    version="28.2.2",
    control_groups="2",
    memory_gb=8.0,
    free_gb=50.0,
    root="/var/lib/docker",
    instances=1024,
    watches=262_144,
    kind_name="labs",
)
CHECKS = (
    engine.engine, engine.control_groups, engine.inotify, engine.memory, engine.disk_space, engine.name_taken
)  # fmt: skip


@pytest.mark.parametrize("function", CHECKS)
def test_a_good_machine(function: object) -> None:
    assert callable(function)
    found = function(GOOD)
    assert found.ok
    assert found.fix == ""


@pytest.mark.parametrize(
    ("changes", "function", "fatal", "fix"),
    [
        ({"trouble": Trouble("missing", "")}, engine.engine, True, "install Docker"),
        ({"trouble": Trouble("daemon", "")}, engine.engine, True, "systemctl start docker"),
        ({"trouble": Trouble("permission", "")}, engine.engine, True, "usermod -aG docker"),
        ({"trouble": Trouble("old", "")}, engine.engine, True, "update Docker"),
        ({"control_groups": "1"}, engine.control_groups, False, "unified_cgroup_hierarchy"),
        ({"instances": 128}, engine.inotify, False, "max_user_instances=1024"),
        ({"watches": 8192}, engine.inotify, False, "max_user_watches"),
        ({"memory_gb": 2.0}, engine.memory, False, "more memory"),
        ({"memory_gb": 1.0}, engine.memory, True, "more memory"),
        ({"free_gb": 1.0}, engine.disk_space, True, "prune"),
        ({"foreign": ("labs-control-plane",)}, engine.name_taken, True, "--name"),
    ],
)
def test_each_problem(changes: dict[str, object], function: object, fatal: bool, fix: str) -> None:
    assert callable(function)
    found = function(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert not found.ok
    assert found.fatal == fatal
    assert fix in found.fix


def test_what_cannot_be_told_is_no_failure() -> None:
    unknown = EngineFacts(None, name="podman", version="5.0", kind_name="labs")
    assert all(function(unknown).ok for function in CHECKS)


def test_every_anchor_is_a_heading() -> None:
    page = Path(engine.__file__).resolve().parents[3] / "clusters/README.md"
    headings = set(re.findall(r"^#+ (\S+)$", page.read_text(), re.MULTILINE))
    assert {function(GOOD).anchor for function in CHECKS} <= headings
