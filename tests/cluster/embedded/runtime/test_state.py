"""What the server makes of a shim's report after a restart of either, or of the node."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labsupport.cluster.embedded.runtime import containers, events, sandboxes, spec, state
from labsupport.cluster.embedded.runtime.config import Api, Config
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.images import Images
from labsupport.cluster.embedded.runtime.network import AddressPool
from labsupport.cluster.embedded.runtime.store import (
    Container,
    Sandbox,
    Table,
    decode_container,
    decode_sandbox,
)
from labsupport.cluster.embedded.runtime.users import Accounts


class Shim:
    """Records what is asked of a shim; `on_start` runs while a start is under way."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self.on_start: Callable[[], None] = lambda: None

    def call(self, op: str, **arguments: Any) -> dict[str, Any]:
        if op == "start":
            self.on_start()
        self.calls.put((op, arguments))
        return {"pid": 9}


@pytest.fixture
def runtime(tmp_path: Path) -> state.Runtime:
    config = Config(
        pod_cidr="10.244.0.0/24",
        idmap="single",
        course_root=tmp_path / "root",
        catalogue=tmp_path / "catalogue.json",
        state=tmp_path / "state",
        run=tmp_path / "run",
        api=Api("https://127.0.0.1:1", "ca.crt", "node.crt", "node.key"),
    )
    runtime = state.Runtime(
        config=config,
        sandboxes=Table(config.state / "sandboxes", decode_sandbox),
        containers=Table(config.state / "containers", decode_container),
        images=Images(config.catalogue, config.state / "pulled.json"),
        pool=AddressPool(config.pod_cidr, used=["10.244.0.2"]),
        accounts=Accounts(),
    )
    pod = cri.PodSandboxConfig(metadata=cri.PodSandboxMetadata(name="p", namespace="n", uid="u"))
    pod.linux.security_context.namespace_options.pid = cri.CONTAINER
    runtime.sandboxes.add(Sandbox("s", pod, 1, address="10.244.0.2"))
    pinned = config.sandbox_run("s")
    pinned.mkdir(parents=True)
    (pinned / "uts").touch()
    config_of_c = cri.ContainerConfig(metadata=cri.ContainerMetadata(name="main"))
    record = Container(
        "c", "s", config_of_c, "sha256:1", "i", 1, state=cri.CONTAINER_RUNNING, started_at=2, pid=7
    )
    runtime.containers.add(record)
    runtime.shim = Shim()  # type: ignore[assignment]
    return runtime


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that would be written."""
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(events, "tell", lambda api, found: written.extend(found))
    return written


def report(**containers: dict[str, Any]) -> dict[str, Any]:
    return {"containers": containers, "holders": []}


def container(runtime: state.Runtime) -> Container:
    found = runtime.containers.get("c")
    assert found is not None
    return found


def test_running_container_is_taken_over(runtime: state.Runtime, told: list[dict[str, Any]]) -> None:
    runtime.on_connect(report(c={"pid": 7, "exit_code": None, "finished_at": 0}))
    assert container(runtime).state == cri.CONTAINER_RUNNING
    assert [sandbox.ready for sandbox in runtime.sandboxes] == [True]
    assert told == []


def test_end_that_the_server_missed(runtime: state.Runtime) -> None:
    runtime.on_connect(report(c={"pid": 7, "exit_code": 4, "finished_at": 99}))
    ended = container(runtime)
    assert (ended.state, ended.exit_code, ended.reason) == (cri.CONTAINER_EXITED, 4, "Error")
    assert ended.finished_at == 99
    assert ended.ended.is_set()


def test_shim_that_knows_nothing(runtime: state.Runtime, told: list[dict[str, Any]]) -> None:
    runtime.on_connect(report())
    ended = container(runtime)
    assert (ended.exit_code, ended.reason) == (255, "Unknown")
    assert "restarted" in ended.message
    ((about, message),) = [(event["involvedObject"], event["message"]) for event in told]
    assert (about["namespace"], about["name"], about["uid"]) == ("n", "p", "u")
    assert message.endswith(": main ended")
    assert [sandbox.ready for sandbox in runtime.sandboxes] == [True]


def test_restart_of_the_node(runtime: state.Runtime) -> None:
    (runtime.config.sandbox_run("s") / "uts").unlink()
    runtime.on_connect(report())
    assert [sandbox.ready for sandbox in runtime.sandboxes] == [False]
    again = Table(runtime.config.state / "sandboxes", decode_sandbox)
    assert [sandbox.ready for sandbox in again] == [False]
    assert runtime.pool._used == set()


def test_shared_pid_namespace_needs_its_holder(runtime: state.Runtime) -> None:
    config = cri.PodSandboxConfig()
    config.linux.security_context.namespace_options.pid = cri.POD
    runtime.sandboxes.remove("s")
    runtime.sandboxes.add(Sandbox("s", config, 1))
    runtime.on_connect({"containers": {}, "holders": ["s"]})
    assert [sandbox.ready for sandbox in runtime.sandboxes] == [True]
    runtime.on_connect({"containers": {}, "holders": []})
    assert [sandbox.ready for sandbox in runtime.sandboxes] == [False]


def test_container_that_started_while_the_server_died(runtime: state.Runtime) -> None:
    record = container(runtime)
    record.state, record.pid = cri.CONTAINER_CREATED, 0
    runtime.on_connect(report(c={"pid": 8, "exit_code": None, "finished_at": 0}))
    assert (container(runtime).state, container(runtime).pid) == (cri.CONTAINER_RUNNING, 8)


def test_exit_is_recorded_once_and_announced(runtime: state.Runtime) -> None:
    events: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    runtime.watchers.append(events)
    runtime.on_exit("c", 0, 5)
    runtime.on_exit("c", 9, 6)
    runtime.on_exit("unknown", 1, 7)
    assert (container(runtime).exit_code, container(runtime).reason) == (0, "Completed")
    assert events.get(timeout=1) == ("c", cri.CONTAINER_STOPPED_EVENT)
    assert events.empty()


def test_container_that_nobody_knows_is_ended(runtime: state.Runtime) -> None:
    lost = {"pid": 8, "exit_code": None, "finished_at": 0}
    runtime.on_connect(report(c={"pid": 7, "exit_code": None, "finished_at": 0}, lost=lost))
    shim = runtime.shim
    assert isinstance(shim, Shim)
    assert shim.calls.get(timeout=5) == ("forget", {"id": "lost"})
    assert shim.calls.empty()


def test_removal_waits_for_a_start_under_way(runtime: state.Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    record = container(runtime)
    record.state, record.pid = cri.CONTAINER_CREATED, 0
    monkeypatch.setattr(containers, "specification", lambda *_: spec.SandboxSpec("s", "/d", "h"))
    shim = runtime.shim
    assert isinstance(shim, Shim)
    removal = threading.Thread(target=lambda: containers.end(runtime, record, 0), daemon=True)
    shim.on_start = removal.start
    containers.start(runtime, cri.StartContainerRequest(container_id="c"))
    assert shim.calls.get(timeout=5)[0] == "start"
    assert shim.calls.get(timeout=5) == ("kill", {"id": "c", "signal": 9})
    runtime.on_exit("c", 137, 5)
    removal.join(5)
    assert not removal.is_alive()
    assert record.exit_code == 137


def test_unrecorded_sandbox_is_taken_down(runtime: state.Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxes.network, "remove_link", lambda _: None)
    monkeypatch.setattr(sandboxes.network.linux, "umount", lambda _: None)
    lost = runtime.config.sandbox_run("lost")
    lost.mkdir()
    (lost / "uts").touch()
    sandboxes.sweep(runtime)
    assert not lost.exists()
    assert (runtime.config.sandbox_run("s") / "uts").exists()
