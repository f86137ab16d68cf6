"""A check in a real kernel: what a learner's function does there, and that the kernel stays as it was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

START = 60.0  # seconds: a busy machine takes its time to start a kernel
PREPARE = """
import time
from labsupport.course.probe import Probe, Rejected

def check(limit):
    try:
        with Probe(None, globals(), time.monotonic() + 45).function("plan", 1) as call:
            call.limit = limit
            print(call(3))
    except Rejected as rejected:
        print(rejected.outcome.diagnostic, "|", rejected.outcome.decided_by)
"""
Kernel = tuple[KernelManager, BlockingKernelClient]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel(startup_timeout=START, kernel_name="python3")
    run(client, PREPARE)
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> str:
    """Execute a cell; returns what it printed, or how it failed."""
    texts: list[str] = []

    def note(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            texts.append(content["text"])
        elif message["msg_type"] == "error":
            texts.append(content["ename"])

    client.execute_interactive(code, timeout=START, output_hook=note)
    return "".join(texts)


def state(manager: KernelManager) -> tuple[int, set[int]]:
    """Threads and children of the kernel."""
    process = psutil.Process(manager.provisioner.pid)  # type: ignore[union-attr]
    return process.num_threads(), {child.pid for child in process.children(recursive=True)}


def test_a_cells_function_is_called_elsewhere_and_its_lines_are_found(kernel: Kernel) -> None:
    manager, client = kernel
    before = state(manager)
    run(client, "FACTOR = 7")
    assert run(client, "def plan(n):\n    return n * FACTOR\ncheck(2)") == "21\n"
    said = run(client, "def plan(n):\n    # a remark\n    return n.name\ncheck(2)")
    assert said.startswith("raised | line 3 of cell [")
    assert "`return n.name`" in said
    assert state(manager) == before


@pytest.mark.parametrize(
    "loop",
    [
        "while True:\n        pass",
        "while True:\n        try:\n            time.sleep(1e9)\n        except:\n            pass",
    ],
)
def test_an_endless_loop_leaves_the_kernel_usable(kernel: Kernel, loop: str) -> None:
    manager, client = kernel
    before = state(manager)
    said = run(client, f"def plan(n):\n    {loop}\ncheck(0.5)")
    assert said.startswith("endless | line ")
    assert run(client, "print(1 + 1)") == "2\n"
    assert state(manager) == before


def test_the_stop_button_ends_a_check_and_what_it_called(kernel: Kernel) -> None:
    manager, client = kernel
    before = state(manager)
    sent = client.execute("def plan(n):\n    while True:\n        pass\ncheck(40)")
    deadline = time.monotonic() + 20
    while state(manager)[1] == before[1]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=START))["parent_header"].get("msg_id") != sent:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert run(client, "print('usable')") == "usable\n"
    assert state(manager) == before


def test_cells_run_where_a_check_can_be_ended_by_a_signal(kernel: Kernel) -> None:
    _, client = kernel
    code = (
        "from labsupport.course import exercise\n"
        "try:\n    with exercise._at_most(0.3):\n        time.sleep(1e9)\n"
        "except exercise._Overdue as late:\n    print(late)"
    )
    assert run(client, code) == "it was not done after 0.3 s\n"
