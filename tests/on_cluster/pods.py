"""Pods for tests: written as manifests, waited for with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

PYTHON = "labs.example/python:3.11"
SHELL = "labs.example/shell:1"
FOREVER = ["sleep", "infinity"]


def pod(name: str, *, image: str = PYTHON, command: list[str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Pod with one container `main`; `container` overrides fields of it, other keywords those of the spec."""
    container = {
        "name": "main",
        "image": image,
        "command": command or FOREVER,
        **spec.pop("container", {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def start(kubectl: Callable[..., Any], namespace: str, *objects: dict[str, Any], wait: bool = True) -> None:
    """Create objects and wait until their Pods are Ready."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl("-n", namespace, "apply", "-f", "-", input=items)
    for each in objects:
        if wait and each["kind"] == "Pod":
            name = each["metadata"]["name"]
            kubectl("-n", namespace, "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=30s")
