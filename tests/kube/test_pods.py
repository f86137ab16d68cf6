"""Which Pods serve."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport import kube
from labsupport.kube import pods

READY = [{"type": "Ready", "status": "True"}]


def pod(name: str, born: str = "", *, going: bool = False, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": f"2026-01-01T00:00:{born or '00'}Z"}
    if going:
        metadata["deletionTimestamp"] = "2026-01-01T00:01:00Z"
    return {"metadata": metadata, "status": {"conditions": READY, "phase": "Running", **status}}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod("well"), True),
        # Its containers still end, so the kubelet has not taken the condition back.
        (pod("going", going=True), False),
        (pod("starting", conditions=[{"type": "Ready", "status": "False"}]), False),
        (pod("new", conditions=[]), False),
        (pod("ended", phase="Succeeded"), False),
        ({"metadata": {"name": "not even seen"}}, False),
    ],
    ids=lambda value: value["metadata"]["name"] if isinstance(value, dict) else "",
)
def test_a_pod_is_ready_if_services_lead_to_it(found: dict[str, Any], expected: bool) -> None:
    assert kube.is_ready(found) is expected


def test_the_pods_of_an_application_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [pod("b", "07"), pod("a", "09"), pod("c", "03", conditions=[]), pod("d", "01", going=True)]
    asked: list[Any] = []

    def list_objects(*words: Any, **more: Any) -> list[dict[str, Any]]:
        asked.append((words, more))
        return listed

    monkeypatch.setattr(pods, "list_objects", list_objects)
    api: Any = object()
    assert [each["metadata"]["name"] for each in kube.standing_pods(api, "shop", "app=web")] == [
        "c",
        "b",
        "a",
    ]
    assert [each["metadata"]["name"] for each in kube.ready_pods(api, "shop", "app=web")] == ["b", "a"]
    assert asked == [((api, "v1", "Pod", "shop"), {"labels": "app=web"})] * 2
