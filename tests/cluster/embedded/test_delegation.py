from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labsupport.cluster.embedded import delegation
from labsupport.cluster.embedded.idmap import IdMap

MANAGER = "user.slice/user-1000.slice/user@1000.service"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with systemd and control groups of version 2, as a user with uid 1000 sees it."""
    for directory in ("run/user/1000/systemd", "run/systemd", f"cgroup/{MANAGER}"):
        (tmp_path / directory).mkdir(parents=True)
    for socket in ("run/user/1000/systemd/private", "run/systemd/private"):
        (tmp_path / socket).touch()
    (tmp_path / "cgroup/cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / f"cgroup/{MANAGER}/cgroup.controllers").write_text("cpu memory pids\n")
    return tmp_path


def find(
    machine: Path, uid: int = 1000, program: str | None = "/usr/bin/systemd-run"
) -> delegation.Delegation:
    return delegation.find("labs", uid, machine / "cgroup", machine / "run", lambda name: program)


def test_a_user_asks_his_own_manager_for_a_scope(machine: Path) -> None:
    found = find(machine)
    assert found.why_not == ""
    assert found.command[:3] == ("/usr/bin/systemd-run", "--user", "--scope")
    assert "--property=Delegate=yes" in found.command
    assert found.command[-1] == "--"
    assert found.environment == {"XDG_RUNTIME_DIR": str(machine / "run/user/1000")}
    assert found.controllers == ("cpu", "memory", "pids")


def test_root_asks_the_machines_manager(machine: Path) -> None:
    found = find(machine, uid=0)
    assert found.why_not == ""
    assert "--user" not in found.command
    assert found.environment == {}


def without_version_2(machine: Path) -> None:
    (machine / "cgroup/cgroup.controllers").unlink()


def without_manager(machine: Path) -> None:
    (machine / "run/user/1000/systemd/private").unlink()


def without_memory(machine: Path) -> None:
    (machine / f"cgroup/{MANAGER}/cgroup.controllers").write_text("pids\n")


def without_group(machine: Path) -> None:
    (machine / f"cgroup/{MANAGER}/cgroup.controllers").unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_version_2, "version 2"),
        (without_manager, "no systemd user manager"),
        (without_memory, "memory controller"),
        (without_group, "memory controller"),
    ],
)
def test_what_is_missing_is_named(machine: Path, change: Callable[[Path], None], said: str) -> None:
    change(machine)
    found = find(machine)
    assert said in found.why_not
    assert found.command == ()


def test_without_systemd_run_there_is_nobody_to_ask(machine: Path) -> None:
    assert "systemd-run" in find(machine, program=None).why_not


def test_a_machine_without_cpu_for_users_still_limits_memory(machine: Path) -> None:
    (machine / f"cgroup/{MANAGER}/cgroup.controllers").write_text("memory pids\n")
    found = find(machine)
    assert found.why_not == ""
    assert found.controllers == ("memory", "pids")


def test_own_group_is_that_of_version_2(tmp_path: Path) -> None:
    proc = tmp_path / "cgroup"
    (tmp_path / "cgroup.controllers").touch()
    proc.write_text("4:memory:/a\n0::/user.slice/x.scope\n")
    assert delegation.own_group(tmp_path, proc) == tmp_path / "user.slice/x.scope"
    proc.write_text("4:memory:/a\n")
    assert delegation.own_group(tmp_path, proc) is None


def test_with_version_1_there_is_no_own_group_to_make_anything_in(tmp_path: Path) -> None:
    proc = tmp_path / "cgroup"
    proc.write_text("4:memory:/a\n0::/\n")
    assert delegation.own_group(tmp_path, proc) is None


def test_a_group_passes_on_the_controllers_that_it_has(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset io memory pids\n")
    assert delegation.divide(tmp_path) == ("cpuset", "memory", "pids")
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset +memory +pids"


def test_a_nodes_group_is_beside_the_launchers_leaf_and_goes_with_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = tmp_path / "labs.scope" / delegation.LEAF
    leaf.mkdir(parents=True)
    monkeypatch.setattr(delegation, "own_group", lambda: leaf)
    monkeypatch.setattr(delegation.os, "getpid", lambda: 42)
    group = delegation.enter_node_group(IdMap("single", 1000, 1000, 1))
    assert group == tmp_path / "labs.scope/labs-42"
    assert (group / delegation.NODE_LEAF).is_dir()
    assert (group / "cgroup.procs").read_text() == "0"
    (group / "cgroup.procs").unlink()  # in the kernel's file system files do not keep a directory
    delegation.remove_node_group(42)
    assert not group.exists()
    assert leaf.exists()


def test_a_group_that_is_not_ours_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delegation, "own_group", lambda: tmp_path)
    monkeypatch.setattr(delegation.os, "access", lambda path, mode: False)
    assert delegation.enter_node_group(IdMap("single", 1000, 1000, 1)) is None
    assert list(tmp_path.iterdir()) == []
