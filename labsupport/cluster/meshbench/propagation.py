"""How long a changed route's old answers still come: from the request to the API server to the last stale answer.

On connections that stay open, since those are what a change reaches last. The request is what `kubectl apply
--server-side` sends; kubectl itself would take most of the time that is measured, only to start.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.cluster.meshbench.figures import spread
from labsupport.cluster.meshbench.place import MESH, Place, url
from labsupport.console import phase
from labsupport.errors import LabsError

CHANGES, EVERY = 50, 0.6  # seconds from one change to the next: longer than any answer may be stale
RATE, CONNECTIONS = 400.0, 8
LONGEST, STOP = 600.0, "/tmp/stop"  # seconds, and the file that ends the requests sooner  # noqa: S108 (in a Pod)


@dataclass(frozen=True)
class Propagation:
    """Milliseconds for each change, and the requests that failed meanwhile."""

    stale_ms: tuple[float, ...]
    apply_ms: tuple[float, ...]  # until the API server had answered
    failed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"route": spread(self.stale_ms), "apply": spread(self.apply_ms), "failed": self.failed}


def measure(place: Place, changes: int = CHANGES) -> Propagation:
    """Change a route again and again under requests. Errors: LabsError where an answer is missing; Refused."""
    began: list[float] = []
    took: list[float] = []
    said: list[dict[str, Any]] = []

    def apply(version: int) -> None:
        at = time.time()
        kube.apply(place.api, [route(version)], namespace=MESH)
        began.append(at)
        took.append(1000 * (time.time() - at))

    def send() -> None:
        said.append(place.steady(MESH, url(MESH), RATE, LONGEST, CONNECTIONS, STOP))

    with phase(f"{changes} changes of a route under {RATE:g} requests a second"):
        apply(0)
        sending = threading.Thread(target=send)
        sending.start()
        begun = time.monotonic() + 2  # the client has started by then
        for version in range(1, changes + 1):
            time.sleep(
                max(0.0, begun + version * EVERY - time.monotonic())
            )  # a steady pace, not a wait for something
            apply(version)
        time.sleep(EVERY)
        place.run(MESH, "client", ["touch", STOP], "client")
        sending.join()
    if not said:
        raise LabsError("the requests ended with an error")
    seen = said[0]["versions"]
    missing = [str(version) for version in range(changes) if str(version) not in seen]
    if missing:
        raise LabsError(
            f"versions {', '.join(missing)} of the route were never answered: the machine is too busy"
        )
    stale = [1000 * (seen[str(version)][1] - began[version + 1]) for version in range(changes)]
    return Propagation(tuple(stale), tuple(took), said[0]["failed"])


def route(version: int) -> dict[str, Any]:
    """A route that tells its version in a header of each answer."""
    header = {"set": [{"name": "x-version", "value": str(version)}]}
    rule = {
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": header}],
        "backendRefs": [{"name": "server", "port": 80}],
    }
    parents = [{"group": "", "kind": "Service", "name": "server"}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "bench"},
        "spec": {"parentRefs": parents, "rules": [rule]},
    }
