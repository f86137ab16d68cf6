"""The supervisor: order, restarts with growing delay, an orderly end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from labsupport.cluster.embedded import supervisor as module
from labsupport.cluster.embedded.supervisor import Component, Supervisor, from_definition


@pytest.fixture(autouse=True)
def _logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGS", tmp_path)
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)


def component(name: str, code: str, after: str = "") -> Component:
    return Component(name, (sys.executable, "-c", code), {}, after=after, delay=0.01)


def run(
    components: tuple[Component, ...], until: Callable[[Supervisor], bool], stop: bool = True
) -> Supervisor:
    async def go() -> Supervisor:
        changed = asyncio.Event()
        supervisor = Supervisor(components, changed.set, {})
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, supervisor.collect)
        supervisor.start_first()
        async with asyncio.timeout(10):
            while not until(supervisor):
                changed.clear()
                await changed.wait()
        if stop:
            await supervisor.stop(tuple((each.name, 0.2) for each in components))
        loop.remove_signal_handler(signal.SIGCHLD)
        return supervisor

    return asyncio.run(go())


SLEEP = "import time; time.sleep(60)"


def test_components_wait_for_the_one_they_come_after() -> None:
    seen: list[str] = []

    def first_runs(supervisor: Supervisor) -> bool:
        seen.append(supervisor.components["second"].state)
        if supervisor.components["first"].state == "running" and not supervisor.components["first"].ready:
            supervisor.mark_ready("first")
        return supervisor.components["second"].state == "running"

    run((component("first", SLEEP), component("second", SLEEP, after="first")), first_runs)
    assert seen[0] == "waiting"


def test_a_dead_component_is_started_again_and_says_why_it_died() -> None:
    supervisor = run(
        (component("etcd", "print('no space left'); raise SystemExit(3)"),),
        lambda s: s.components["etcd"].restarts >= 3,
    )
    etcd = supervisor.components["etcd"]
    assert etcd.last_exit.startswith("exit status 3")
    assert "no space left" in etcd.last_exit
    assert etcd.delay > 0.02


def test_a_killed_component_names_the_signal() -> None:
    killed = component("kubelet", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    supervisor = run((killed,), lambda s: s.components["kubelet"].restarts >= 1)
    assert "SIGKILL" in supervisor.components["kubelet"].last_exit


def test_stop_kills_what_ignores_the_request() -> None:
    deaf = component(
        "deaf", f"import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); {SLEEP}"
    )
    supervisor = run((deaf,), lambda s: s.components["deaf"].state == "running")
    assert supervisor.components["deaf"].state == "stopped"
    assert supervisor.components["deaf"].restarts == 0


def test_definition_merges_environments() -> None:
    (only,) = from_definition(
        {
            "environment": {"A": "1", "B": "1"},
            "component": [{"name": "x", "argv": ["x"], "environment": {"B": "2"}}],
        }
    )
    assert only.environment == {"A": "1", "B": "2"}
