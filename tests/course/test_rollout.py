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
    monkeypatch.setattr(
        kube, "until_ready", lambda api, targets, **_: waited.extend(each.name for each in targets)
    )
    rollout.restart(None, "lab", ("web",))  # type: ignore[arg-type]
    rollout.restart(None, "lab", ("web",), {"a": "b"})  # type: ignore[arg-type]
    assert held["spec"]["template"]["metadata"]["annotations"] == {"a": "b", rollout.RESTARTED: "2"}
    assert waited == ["web", "web"]
