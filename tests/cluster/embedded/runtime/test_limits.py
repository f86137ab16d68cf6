from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.embedded.runtime import limits
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri

MB = 1 << 20


@pytest.fixture
def group(tmp_path: Path) -> Path:
    """The group of a container that has used something."""
    group = tmp_path / "kubepods/pod1/c1"
    group.mkdir(parents=True)
    for name, content in {
        "memory.max": "max\n",
        "memory.swap.max": "max\n",
        "memory.current": "5000\n",
        "memory.stat": "anon 3000\nfile 1500\ninactive_file 1000\npgfault 70\npgmajfault 2\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 0\noom_kill 0\noom_group_kill 0\n",
        "cpu.max": "max 100000\n",
        "cpu.stat": "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\n",
        "pids.current": "3\n",
    }.items():
        (group / name).write_text(content)
    return group


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(0, 1), (2, 1), (102, 17), (512, 59), (1024, 100), (262_144, 10_000), (10**6, 10_000)],
)
def test_shares_become_a_weight(shares: int, weight: int) -> None:
    assert limits.weight(shares) == weight


def test_every_limit_has_its_file() -> None:
    wanted = cri.LinuxContainerResources(
        cpu_period=100_000,
        cpu_quota=25_000,
        cpu_shares=1024,
        cpuset_cpus="0-1",
        memory_limit_in_bytes=64 * MB,
        unified={"memory.oom.group": "1"},
    )
    assert limits.settings(wanted) == {
        "cpu.max": "25000 100000",
        "cpu.weight": "100",
        "cpuset.cpus": "0-1",
        "memory.max": str(64 * MB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
    }


@pytest.mark.parametrize(
    ("wanted", "file", "content"),
    [
        (cri.LinuxContainerResources(cpu_quota=-1), "cpu.max", "max 100000"),
        (cri.LinuxContainerResources(cpu_period=50_000), "cpu.max", "max 50000"),
        (cri.LinuxContainerResources(memory_limit_in_bytes=-1), "memory.max", "max"),
        (
            cri.LinuxContainerResources(memory_limit_in_bytes=MB, memory_swap_limit_in_bytes=3 * MB),
            "memory.swap.max",
            str(2 * MB),
        ),
        (
            cri.LinuxContainerResources(memory_limit_in_bytes=MB, unified={"memory.swap.max": "7"}),
            "memory.swap.max",
            "7",
        ),
    ],
)
def test_none_and_swap(wanted: cri.LinuxContainerResources, file: str, content: str) -> None:
    assert limits.settings(wanted)[file] == content


def test_nothing_asked_for_is_nothing_written() -> None:
    assert limits.settings(cri.LinuxContainerResources()) == {}


def test_a_node_with_a_divided_group_of_its_own_enforces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.procs").touch()
    (tmp_path / "cgroup.subtree_control").write_text("\n")
    assert limits.enforced(tmp_path) == ()
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    assert limits.enforced(tmp_path) == ("cpu", "memory", "pids")
    monkeypatch.setattr(limits.os, "access", lambda path, mode: False)
    assert limits.enforced(tmp_path) == (), "it is the group of whoever started the node"


def test_without_control_groups_nothing_happens(tmp_path: Path) -> None:
    assert limits.enforced(tmp_path) == ()
    group = limits.group_of("/kubepods/burstable/pod1", "c2", tmp_path)
    assert group == tmp_path / "kubepods/burstable/pod1/c2"
    limits.apply(group, cri.LinuxContainerResources(memory_limit_in_bytes=MB))
    assert limits.usage(group) is None
    assert not limits.was_out_of_memory(group)
    limits.remove(group)
    assert list(tmp_path.iterdir()) == []


def test_a_group_is_made_in_that_of_its_pod(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    limits.make(tmp_path / "c1", cri.LinuxContainerResources())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (tmp_path / "c1").is_dir()


def test_limits_are_written_and_a_missing_controller_is_passed_over(group: Path) -> None:
    (group / "cpu.max").unlink()
    limits.apply(group, cri.LinuxContainerResources(memory_limit_in_bytes=MB, cpu_quota=1000))
    assert (group / "memory.max").read_text() == str(MB)
    assert not (group / "cpu.max").exists()


@pytest.mark.parametrize("name", ["../cgroup.procs", "a/b"])
def test_a_path_is_no_file_of_a_group(group: Path, name: str) -> None:
    with pytest.raises(OSError, match="no file of a control group"):
        limits.apply(group, cri.LinuxContainerResources(unified={name: "1"}))


def test_a_refusal_names_the_file(group: Path) -> None:
    (group / "memory.max").unlink()
    (group / "memory.max").mkdir()
    with pytest.raises(OSError, match=r"memory\.max cannot be set to 1048576"):
        limits.apply(group, cri.LinuxContainerResources(memory_limit_in_bytes=MB))


def test_usage_is_the_groups(group: Path) -> None:
    assert limits.usage(group) == limits.GroupUsage(
        cpu_ns=1_234_000,
        memory=5000,
        working_set=4000,
        anonymous=3000,
        page_faults=70,
        major_page_faults=2,
        processes=3,
    )


def test_out_of_memory_is_what_the_kernel_counted(group: Path) -> None:
    assert not limits.was_out_of_memory(group)
    events = group / "memory.events"
    events.write_text(events.read_text().replace("oom_kill 0", "oom_kill 2"))
    assert limits.was_out_of_memory(group)
