"""How the control plane's work grows: mesh/bench/scale.py, run in a Pod of the control plane's image."""

from __future__ import annotations

import json
from typing import Any

from labsupport.cluster.meshbench.place import PLAIN, Place
from labsupport.console import phase
from labsupport.kube.execute import execute

TIMEOUT = 600.0  # seconds


def measure(place: Place) -> dict[str, Any]:
    """{"scale": [sizes], "slopes": {…}}."""
    with phase("a control plane with 10 to 1,000 Services and 10 to 200 proxies"):
        command = ["python3", "-m", "labsupport.mesh.bench.scale"]
        pod = place.pod(PLAIN, "client")
        found: dict[str, Any] = json.loads(
            execute(place.api, PLAIN, pod, command, container="client", timeout=TIMEOUT)
        )
        return found
