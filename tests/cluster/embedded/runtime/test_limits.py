from __future__ import annotations

from pathlib import Path

import pytest

from labsupport.cluster.embedded.runtime import limits
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri

MB = 1 << 20


@pytest.fixture
def containers(tmp_path: Path) -> Path:
    """The group of all containers, divided, with one container that has used something."""
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    group = tmp_path / "c1"
    group.mkdir()
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
    return tmp_path


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
        memory_limit_in_bytes=64 * MB,
        unified={"memory.oom.group": "1"},
    )
    assert limits.settings(wanted) == {
        "cpu.max": "25000 100000",
        "cpu.weight": "100",
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


def test_without_control_groups_nothing_is_made(tmp_path: Path) -> None:
    assert limits.enforced(tmp_path) == ()
    wanted = cri.LinuxContainerResources(memory_limit_in_bytes=MB)
    assert limits.make("c2", wanted, tmp_path) == ""
    assert list(tmp_path.iterdir()) == []
    assert limits.usage("c2", tmp_path) is None
    assert not limits.was_out_of_memory("c2", tmp_path)
    limits.remove("c2", tmp_path)
    limits.apply("c2", wanted, tmp_path)


def test_limits_are_written_and_a_missing_controller_is_passed_over(containers: Path) -> None:
    (containers / "c1/cpu.max").unlink()
    wanted = cri.LinuxContainerResources(memory_limit_in_bytes=MB, cpu_quota=1000)
    limits.apply("c1", wanted, containers)
    assert (containers / "c1/memory.max").read_text() == str(MB)
    assert not (containers / "c1/cpu.max").exists()


@pytest.mark.parametrize("name", ["../cgroup.procs", "a/b"])
def test_a_path_is_no_file_of_a_group(containers: Path, name: str) -> None:
    with pytest.raises(OSError, match="no file of a control group"):
        limits.apply("c1", cri.LinuxContainerResources(unified={name: "1"}), containers)


def test_a_refusal_names_the_file(containers: Path) -> None:
    (containers / "c1/memory.max").unlink()
    (containers / "c1/memory.max").mkdir()
    with pytest.raises(OSError, match=r"memory\.max cannot be set to 1048576"):
        limits.apply("c1", cri.LinuxContainerResources(memory_limit_in_bytes=MB), containers)


def test_usage_is_the_groups(containers: Path) -> None:
    assert limits.usage("c1", containers) == limits.GroupUsage(
        cpu_ns=1_234_000,
        memory=5000,
        working_set=4000,
        anonymous=3000,
        page_faults=70,
        major_page_faults=2,
        processes=3,
    )


def test_out_of_memory_is_what_the_kernel_counted(containers: Path) -> None:
    assert not limits.was_out_of_memory("c1", containers)
    events = containers / "c1/memory.events"
    events.write_text(events.read_text().replace("oom_kill 0", "oom_kill 2"))
    assert limits.was_out_of_memory("c1", containers)


def test_groups_of_unknown_containers_go(containers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (containers / "c0").mkdir()
    removed = []
    monkeypatch.setattr(limits, "remove", lambda name, directory: removed.append(name))
    limits.keep_only({"c1"}, containers)
    assert removed == ["c0"]
