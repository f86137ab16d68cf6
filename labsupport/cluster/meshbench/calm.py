"""Whether a request fails while everything about the mesh changes at once, or is made new. Clients do not try again.

One stream of requests on connections that stay open, one with a new connection for each request.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from labsupport import kube
from labsupport.cluster import mesh
from labsupport.cluster.meshbench.place import MESH, Place, url
from labsupport.cluster.meshbench.propagation import route
from labsupport.console import phase
from labsupport.kube.execute import execute
from labsupport.mesh.names import GROUP, SYSTEM

RATE = 200  # requests a second, of each of the two streams
CHANGES, CHANGING = 100, 10.0  # so many changes in so many seconds
UPGRADE = 60.0  # seconds of requests around an upgrade
LIFETIME = "10s"  # of certificates meanwhile


@dataclass(frozen=True)
class Calm:
    """What was sent while something was done, and what of it failed."""

    doing: str
    requests: int
    failed: int
    failures: dict[str, int]


def measure(place: Place) -> list[Calm]:
    """Both: changes with rotation and a control plane that is killed twice, and an upgrade."""
    return [changes(place), upgrade(place)]


def as_dict(found: list[Calm]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(each) for each in found]


def changes(place: Place) -> Calm:
    """100 changes of a route in 10 s; certificates of 10 s; the control plane killed after a third and two thirds."""
    config: dict[str, Any] = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "MeshConfig"}
    config |= {"metadata": {"name": "mesh", "namespace": SYSTEM}, "spec": {"certificateLifetime": LIFETIME}}

    def act() -> None:
        begun = time.monotonic()
        for number in range(CHANGES):
            time.sleep(
                max(0.0, begun + number * CHANGING / CHANGES - time.monotonic())
            )  # the pace is the point
            kube.apply(place.api, [route(number)], namespace=MESH)
            if number in (CHANGES // 3, 2 * CHANGES // 3):
                _kill(place)

    doing = f"{CHANGES} changes in {CHANGING:g} s, certificates of {LIFETIME}, control plane killed twice"
    kube.apply(place.api, [config])
    try:
        _restart(place)  # Pods that start now get short certificates
        with phase(doing):
            return _under_load(place, doing, CHANGING + 15, act)
    finally:
        kube.delete(place.api, [config])


def upgrade(place: Place) -> Calm:
    """`labs mesh upgrade --restart` in the middle of a minute of requests."""
    from labsupport.mesh.admin import install

    def act() -> None:
        install.upgrade(place.api, mesh.documents(), mesh.gateway_documents())

    with phase("an upgrade of the mesh") as shown:
        shown.update(f"{UPGRADE:g} s of requests")
        return _under_load(place, "an upgrade of the control plane", UPGRADE, act)


def _kill(place: Place) -> None:
    """End the control plane without any notice."""
    for pod in kube.list_objects(place.api, "v1", "Pod", SYSTEM, labels=f"{GROUP}/part=control"):
        path = f"/api/v1/namespaces/{SYSTEM}/pods/{pod['metadata']['name']}"
        kube.request(place.api, "DELETE", path, body={"gracePeriodSeconds": 0})


def _restart(place: Place) -> None:
    from labsupport.mesh.admin import workloads

    for name in ("server", "client"):
        workloads.restart(place.api, workloads.Owner("Deployment", MESH, name), timeout=120.0)


def _under_load(place: Place, doing: str, seconds: float, act: Callable[[], None]) -> Calm:
    said: list[dict[str, Any]] = []
    client = place.pod(MESH, "client")

    def keep() -> None:
        said.append(place.steady(MESH, url(MESH), RATE, seconds, 4))

    def anew() -> None:
        words = [f"{name}={value}" for name, value in (
            ("connections", 8), ("requests", int(RATE * seconds)), ("rate", RATE), ("keep", "false"))]  # fmt: skip
        command = ["python3", "-m", "labsupport.shop.load", url(MESH), *words]
        answer = execute(place.api, MESH, client, command, container="client", timeout=seconds + 60)
        found = json.loads(answer)
        failures = {
            **found.get("errors", {}),
            **{k: v for k, v in found.get("by_status", {}).items() if k >= "400"},
        }
        said.append({"ok": found["ok"], "failed": found["requests"] - found["ok"], "failures": failures})

    threads = [threading.Thread(target=each) for each in (keep, anew)]
    for each in threads:
        each.start()
    act()
    for each in threads:
        each.join()
    if len(said) < len(threads):
        return Calm(doing, 0, 1, {"a client ended with an error": 1})
    failures: dict[str, int] = {}
    for found in said:
        for name, count in found["failures"].items():
            failures[name] = failures.get(name, 0) + count
    total = sum(each["ok"] + each["failed"] for each in said)
    return Calm(doing, total, sum(each["failed"] for each in said), failures)
