"""Pods made anew: the same steps lead to the same annotations."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport import kube
from labsupport.course.lessons import rollout


def test_a_restart_is_counted_and_annotations_go_along(monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[str, Any] = {"spec": {"template": {"metadata": {}}}}
    waited: list[str] = []

    def patch(api: Any, path: str, change: Any) -> None:
        held["spec"]["template"]["metadata"].update(change["spec"]["template"]["metadata"])

    monkeypatch.setattr(kube, "request", lambda api, method, path: held)
    monkeypatch.setattr(kube, "patch", patch)
    monkeypatch.setattr(kube, "until", lambda api, target, condition, **_: waited.append(target.name))
    rollout.restart(None, "lab", ("web",))  # type: ignore[arg-type]
    rollout.restart(None, "lab", ("web",), {"a": "b"})  # type: ignore[arg-type]
    assert held["spec"]["template"]["metadata"]["annotations"] == {"a": "b", rollout.RESTARTED: "2"}
    assert waited == ["web", "web"]


def test_pods_that_a_webhook_refuses_are_waited_for_a_moment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'admission webhook "x" denied the request: no such value',
    }
    refused = {
        "kind": "Deployment",
        "metadata": {"generation": 2},
        "spec": {"replicas": 1},
        "status": {
            "observedGeneration": 2,
            "replicas": 1,
            "readyReplicas": 1,
            "updatedReplicas": 0,
            "conditions": [refusal],
        },
    }
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    condition = rollout._ready_unless_refused()
    assert not condition([refused]).failed
    clock[0] += rollout.REFUSED
    seen = condition([refused])
    assert seen.failed
    assert "no such value" in seen.text
    # What is told of the Pods of an earlier version does not outweigh new ones that are ready.
    assert condition([{**refused, "status": {**refused["status"], "updatedReplicas": 1}}]).done  # type: ignore[dict-item]
