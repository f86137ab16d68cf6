"""The doctor's look at the machine: what it reads, and the trial on the machine that runs the tests."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from labsupport.cluster.doctor import probes
from labsupport.cluster.embedded import idmap
from labsupport.cluster.embedded.idmap import IdMap

MOUNTINFO = """\
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 22 0:40 / /home/ada\\040l rw - nfs4 server:/home rw
41 22 0:41 / /over rw - ext4 /dev/vdb rw
42 22 0:42 / /over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("release", "numbers"),
    [("6.1.0-18-amd64", (6, 1)), ("5.15.153.1-microsoft-standard-WSL2", (5, 15)), ("6.18.44", (6, 18))],
)
def test_kernel_releases(release: str, numbers: tuple[int, ...]) -> None:
    assert probes.kernel(release) == numbers


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/x", "ext4"), ("/home/ada l/state", "nfs4"), ("/over/x", "tmpfs"), ("/overt", "ext4")],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert probes.file_system(Path(path), MOUNTINFO) == kind


def test_control_groups_of_both_versions(tmp_path: Path) -> None:
    assert probes.control_groups(tmp_path, MOUNTINFO) == ("v1", ("cpu", "cpuacct", "memory"))
    assert probes.control_groups(tmp_path, "22 1 254:0 / / rw - ext4 /dev/vda rw\n") == ("none", ())
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    assert probes.control_groups(tmp_path, MOUNTINFO) == ("v2", ("cpu", "memory", "pids"))


def test_memory_is_what_the_control_group_leaves(tmp_path: Path) -> None:
    meminfo = "MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n"
    assert probes.memory_gb(meminfo, tmp_path) == pytest.approx(4.096)
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert probes.memory_gb(meminfo, tmp_path) == pytest.approx(4.096)
    (tmp_path / "memory.max").write_text("2000000000\n")
    (tmp_path / "memory.current").write_text("500000000\n")
    assert probes.memory_gb(meminfo, tmp_path) == pytest.approx(1.5)


def proc_tree(tmp_path: Path, mountinfo: str, seccomp: int = 0, **settings: int) -> Path:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"Name:\tx\nSeccomp:\t{seccomp}\nSeccomp_filters:\t1\n")
    (tmp_path / "self/mountinfo").write_text(mountinfo)
    for name, value in settings.items():
        file = tmp_path / "sys" / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
    return tmp_path


def test_limits_of_an_ubuntu_with_apparmor(tmp_path: Path) -> None:
    settings = {"kernel__apparmor_restrict_unprivileged_userns": 1, "user__max_user_namespaces": 63_000}
    limits = probes.limits(proc_tree(tmp_path, MOUNTINFO, **settings))
    assert (limits.apparmor_restrict, limits.max_user_namespaces, limits.unprivileged_userns_clone) == (
        1,
        63_000,
        None,
    )
    assert limits.seccomp == 0
    assert not limits.masked_proc


def test_limits_in_a_container_with_a_filter_and_hidden_proc(tmp_path: Path) -> None:
    hidden = "50 22 0:50 / /proc/kcore rw - tmpfs tmpfs rw\n"
    limits = probes.limits(proc_tree(tmp_path, MOUNTINFO + hidden, seccomp=2))
    assert limits.seccomp == 2
    assert not limits.chroot
    assert limits.masked_proc


def test_a_chroot_is_seen_by_its_missing_root_mount(tmp_path: Path) -> None:
    without_root = "".join(line + "\n" for line in MOUNTINFO.splitlines() if " / / " not in line)
    assert probes.limits(proc_tree(tmp_path, without_root)).chroot


def test_steps_are_read_and_noise_is_not() -> None:
    steps = probes.parse_steps('warning: x\n{"step": "veth", "errno": 95, "error": "not supported"}\n')
    assert [(step.name, step.errno) for step in steps] == [("veth", 95)]


def test_a_place_that_is_not_there_yet_is_judged_by_its_parent(tmp_path: Path) -> None:
    place = probes.place(tmp_path / "a/b")
    assert place.writable
    assert place.owned
    assert place.free_gb > 0
    assert not (tmp_path / "a").exists(), "looking leaves no trace"


def test_the_trial_says_something_of_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    steps = probes.trial(tmp_path / "state", idmap.for_this_user())
    assert steps[0].name == "inotify"
    assert list(tmp_path.iterdir()) == []
    names = [step.name for step in steps]
    if all(step.errno == 0 for step in steps):  # a machine that can run clusters
        assert names[-3:] == ["overlay", "veth", "nftables"]
    else:
        assert steps[-1].error


def test_ids_that_nobody_gave_us_are_refused_and_the_trial_goes_on_with_one(tmp_path: Path) -> None:
    nobodys = IdMap("subordinate", os.geteuid(), os.getegid(), 1, 3_000_000_000, 3_000_000_000)
    steps = {step.name: step for step in probes.trial(tmp_path / "state", nobodys)}
    assert "newuidmap" in steps["subordinate-ids"].error
    assert "user-namespace" in steps


def test_the_map_of_ids_is_that_of_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(
        idmap, "for_this_user", lambda: IdMap("subordinate", os.geteuid(), os.getegid(), 1, 100_000, 100_000)
    )
    chosen, about = probes.ids("labs")
    assert (chosen.kind, about.kind, about.recorded, about.first) == (
        "subordinate",
        "subordinate",
        "",
        100_000,
    )
    (tmp_path / "labs/clusters/labs").mkdir(parents=True)
    made_with = {"kind": "single", "uid_base": os.geteuid(), "gid_base": os.getegid(), "count": 1}
    (tmp_path / "labs/clusters/labs/launch.json").write_text(json.dumps({"idmap": made_with}))
    chosen, about = probes.ids("labs")
    assert (chosen.kind, about.kind, about.recorded) == ("single", "single", "single")


def test_a_program_has_power_by_its_mode(tmp_path: Path) -> None:
    program = tmp_path / "newuidmap"
    program.touch()
    assert not probes.has_power(str(program))
    program.chmod(0o4755)
    assert probes.has_power(str(program))


def test_loopback_can_be_used_or_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert probes.loopback() == ""

    def refuse(*_: object) -> None:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", refuse)
    assert "Cannot assign" in probes.loopback()


def test_no_go_on_path_is_no_version(tmp_path: Path) -> None:
    assert probes.go_version({"PATH": str(tmp_path)}) == ""
    fake = tmp_path / "go"
    fake.write_text("#!/bin/sh\n[ $GOTOOLCHAIN = local ] && echo go1.26.8\n")
    fake.chmod(0o755)
    assert probes.go_version({"PATH": f"{tmp_path}:/usr/bin:/bin"}) == "1.26.8"


def test_a_dead_release_place_does_not_keep_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/x"

        class Program:
            checksum = address

        monkeypatch.setattr(probes.versions, "program", lambda name: Program)
        monkeypatch.setattr(probes, "REACH_SECONDS", 0.1)
        began = time.monotonic()
        assert not probes.reachable("kubelet")
        assert time.monotonic() - began < 1
