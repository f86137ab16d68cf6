"""Programs of the host's choice in the node: where they run, and that one kill ends them."""

from __future__ import annotations

import subprocess
import time

import psutil
import pytest

from labsupport.cluster import process
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import holder, inside
from labsupport.cluster.interface import Cluster


@pytest.fixture
def init(cluster: Cluster) -> int:
    held = holder.find(ClusterDirectory(cluster.name))
    assert held is not None
    return held.init


def test_a_program_runs_in_the_nodes_network_and_root_directory(init: int) -> None:
    script = "cat /etc/hostname; id -u; ip -brief address show lo; echo $$; exit 7"
    result = process.run(inside.command(init, ["/usr/bin/bash", "-c", script]))
    assert result.status == 7
    name, user, address, pid = result.stdout.splitlines()
    assert (name, user) == ("node-1", "0")
    assert "192.168.77.1/32" in address
    assert int(pid) < 5, "it has a pid namespace of its own"


def test_what_is_no_program_says_so(init: int) -> None:
    result = process.run(inside.command(init, ["/no/such/program"]))
    assert result.status == inside.NOT_RUN
    assert "No such file" in result.stderr


def sleepers(mark: str) -> list[psutil.Process]:
    return [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


def test_one_kill_ends_all_that_it_started(init: int) -> None:
    mark = "86399.25"
    # In a session of its own and without a parent: neither signals to the group nor the parent's death would reach it.
    script = f"setsid sleep {mark} & disown; exec sleep {mark}"
    child = process.start(
        inside.command(init, ["/usr/bin/bash", "-c", script]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while len(sleepers(mark)) < 2:
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    deadline = time.monotonic() + 20
    while left := sleepers(mark):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
