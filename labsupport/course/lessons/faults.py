"""Faults of the shop's Pods, on demand (labsupport/shop/faults.py): slow answers, errors; and what they counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.kube.execute import execute

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


def ready_pods(api: ApiClient, namespace: str, labels: str) -> list[str]:
    """The names of the Pods with these labels that are ready."""
    return sorted(each["metadata"]["name"] for each in kube.ready_pods(api, namespace, labels))


def change(api: ApiClient, namespace: str, pod: str, container: str, **faults: Any) -> None:
    """Make an application answer wrongly, or well again (error_rate=0, latency_ms=0). Errors: LabsError."""
    words = ["curl", "-sf", "-X", "PUT", "-d", json.dumps(faults), "localhost:8080/faults"]
    execute(api, namespace, pod, words, container=container)


def requests(api: ApiClient, namespace: str, pod: str, container: str) -> int:
    """How many requests an application of the shop has been through with since it began. Errors: LabsError."""
    words = ["curl", "-sf", "localhost:8080/counters"]
    counted = json.loads(execute(api, namespace, pod, words, container=container))
    return sum(counted["requests"].values())
