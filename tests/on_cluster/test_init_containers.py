"""Init containers: each runs once, in turn; the kubelet is told of their ends (EventedPLEG, GetContainerEvents)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .pods import SHELL, pod, start

Kubectl = Callable[..., subprocess.CompletedProcess[str]]
NAMESPACE = "init-containers"
TURNS = 5


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    kubectl("create", "namespace", NAMESPACE)
    yield NAMESPACE
    kubectl("delete", "namespace", NAMESPACE)


def test_each_runs_once_and_in_turn(kubectl: Kubectl, namespace: str) -> None:
    """A kubelet that misses that one has ended begins it again: seen where the runtime gave statuses a timestamp."""
    lines = {"name": "lines", "mountPath": "/lines"}
    turns: list[dict[str, Any]] = [
        {"name": f"turn-{turn}", "image": SHELL, "command": ["sh", "-c", f"echo {turn} >> /lines/all"]}
        for turn in range(TURNS)
    ]
    each = [turn | {"volumeMounts": [lines]} for turn in turns]
    volume = {"name": "lines", "emptyDir": {}}
    waits = pod("turns", container={"volumeMounts": [lines]}, initContainers=each, volumes=[volume])
    start(kubectl, namespace, waits)
    written = kubectl("-n", namespace, "exec", "turns", "--", "cat", "/lines/all").stdout.split()
    assert written == [str(turn) for turn in range(TURNS)]
    found = json.loads(kubectl("-n", namespace, "get", "pod", "turns", "-o", "json").stdout)
    assert [status["restartCount"] for status in found["status"]["initContainerStatuses"]] == [0] * TURNS


def test_one_that_fails_is_begun_again_until_it_succeeds(kubectl: Kubectl, namespace: str) -> None:
    script = "test -e /lines/seen || { touch /lines/seen; exit 3; }"
    lines = {"name": "lines", "mountPath": "/lines"}
    fails = {"name": "fails-once", "image": SHELL, "command": ["sh", "-c", script], "volumeMounts": [lines]}
    start(
        kubectl, namespace, pod("again", initContainers=[fails], volumes=[{"name": "lines", "emptyDir": {}}])
    )
    found = json.loads(kubectl("-n", namespace, "get", "pod", "again", "-o", "json").stdout)
    (status,) = found["status"]["initContainerStatuses"]
    assert (status["restartCount"], status["state"]["terminated"]["exitCode"]) == (1, 0)
    assert status["lastState"]["terminated"]["exitCode"] == 3
