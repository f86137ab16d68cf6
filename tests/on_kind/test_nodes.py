"""Three nodes: Pods spread over them reach each other; one is stopped, cut off and brought back; volumes stay."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.cluster.interface import SeveralNodes
from labsupport.patience import patient
from tests.conftest import LABS

Kubectl = Callable[..., Any]
CONTROL, FIRST, SECOND = "labs-test-control-plane", "labs-test-worker", "labs-test-worker2"
NODES = (CONTROL, FIRST, SECOND)


def pod(name: str, node: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "labs.example/web:1", **spec.pop("container", {})}
    # Of a Pod on a node that is away, nobody waits for the end.
    given = {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": given}


@pytest.fixture(scope="module")
def spread(cluster: SeveralNodes, kubectl: Kubectl) -> Iterator[dict[str, str]]:
    """A Pod on each node, by the node's name: its address. They are called as their nodes."""
    kubectl("create", "namespace", "spread")
    pods = {"apiVersion": "v1", "kind": "List", "items": [pod(each, each) for each in NODES]}
    kubectl("-n", "spread", "apply", "-f", "-", input=json.dumps(pods))
    kubectl("-n", "spread", "wait", "pod", "--all", "--for=condition=Ready", "--timeout=60s", timeout=90)
    found = json.loads(kubectl("-n", "spread", "get", "pods", "-o", "json").stdout)["items"]
    yield {each["metadata"]["name"]: each["status"]["podIP"] for each in found}
    kubectl("delete", "namespace", "spread", timeout=90)


def reaches(kubectl: Kubectl, caller: str, address: str) -> bool:
    """Whether a Pod's call of another's address gets an answer within two seconds."""
    command = f"curl -sS -o /dev/null --max-time 2 http://{address}:8080/"
    return bool(
        kubectl("-n", "spread", "exec", caller, "--", "sh", "-c", command, check=False).returncode == 0
    )


def eventually(met: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + patient(seconds)
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def test_each_pod_reaches_each_other(spread: dict[str, str], kubectl: Kubectl) -> None:
    assert len({address.rsplit(".", 1)[0] for address in spread.values()}) == 3, "a range for each node"
    missed = [
        (caller, other) for caller in NODES for other in NODES if not reaches(kubectl, caller, spread[other])
    ]
    assert not missed


def test_they_are_listed(cluster: SeveralNodes) -> None:
    found = {each.name: each for each in cluster.nodes()}
    assert tuple(found) == NODES
    assert [each.role for each in found.values()] == ["control-plane", "worker", "worker"]
    assert {(each.state, each.ready) for each in found.values()} == {("running", True)}
    assert len({each.address for each in found.values()} | {each.pods for each in found.values()}) == 6


def test_one_that_is_cut_off_and_connected_again(
    cluster: SeveralNodes, spread: dict[str, str], kubectl: Kubectl
) -> None:
    cluster.command_node("partition", FIRST)
    try:
        assert not reaches(kubectl, SECOND, spread[FIRST])
        assert reaches(kubectl, SECOND, spread[CONTROL])
        status = cluster.status()
        assert status.ready, status.problems
        assert f"labs node heal {FIRST}" in status.notes[0]
    finally:
        cluster.command_node("heal", FIRST)
    assert reaches(kubectl, SECOND, spread[FIRST])
    assert cluster.status().notes == ()


def test_one_that_is_stopped_and_started_has_its_volumes(cluster: SeveralNodes, kubectl: Kubectl) -> None:
    """A container's own /tmp is in memory: without a directory of the host's the data would be gone."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }

    def writer(name: str, node: str) -> dict[str, Any]:
        return pod(
            name,
            node,
            container={
                "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                "securityContext": {"runAsUser": 0},
            },
            volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "kept"}}],
        )

    kubectl("create", "namespace", "kept")
    try:
        for each in (claim, writer("one", SECOND)):
            kubectl("-n", "kept", "apply", "-f", "-", input=json.dumps(each))
        kubectl("-n", "kept", "wait", "pod/one", "--for=condition=Ready", "--timeout=60s", timeout=90)
        kubectl("-n", "kept", "exec", "one", "--", "sh", "-c", "echo here >/data/file")
        cluster.command_node("stop", SECOND)
        assert [each.state for each in cluster.nodes()] == ["running", "running", "stopped"]
        assert cluster.up().action == "found", "what was stopped on purpose stays so"
        status = cluster.status()
        assert status.ready, status.problems
        assert f"labs node start {SECOND}" in status.notes[0]
        cluster.command_node("start", SECOND)
        assert {each.ready for each in cluster.nodes()} == {True}
        read = ("-n", "kept", "exec", "one", "--", "cat", "/data/file")
        eventually(
            lambda: kubectl(*read, check=False).stdout == "here\n", 60, "the Pod is back with its data"
        )
        # A Pod that is moved finds it too.
        kubectl("-n", "kept", "apply", "-f", "-", input=json.dumps(writer("two", FIRST)))
        kubectl("-n", "kept", "wait", "pod/two", "--for=condition=Ready", "--timeout=60s", timeout=90)
        assert kubectl("-n", "kept", "exec", "two", "--", "cat", "/data/file").stdout == "here\n"
    finally:
        cluster.command_node("start", SECOND)
        kubectl("delete", "namespace", "kept", timeout=90)


def test_the_first_node_cannot_be_stopped(cluster: SeveralNodes) -> None:
    command = [*LABS, "node", "stop", CONTROL, "--name", cluster.name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"choose one of: {FIRST}, {SECOND}" in done.stderr
