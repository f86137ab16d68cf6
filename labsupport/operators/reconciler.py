"""A host: a controller around a learner's `reconcile(core, object)`, or, edge-triggered, `handle(core, change)`.

It watches the objects of a kind in its namespace, and the ConfigMaps that they own. `core` is a CoreV1Api of the
official client with the rights of the Pod. What it did is on stdout, one JSON record a line (controller.py says which).
Settings: `kind` and `api_version` of what is reconciled, `trigger` (level or edge), `writes_per_second` (0: as fast as
they come), `only` (a name).
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from labsupport import kube
from labsupport.operators import learner
from labsupport.operators.controller import Controller, Record
from labsupport.operators.informer import Kind

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
LIMIT = 30.0  # seconds for one reconcile before it is told that it takes long
OWNED = Kind("v1", "ConfigMap")

_writing = threading.Lock()


def tell(record: Record) -> None:
    """Write a record to stdout; several threads do."""
    with _writing:
        print(json.dumps(record), flush=True)


def controller(function: learner.Learner, api_version: str, namespace: str) -> Controller:
    """The controller that this host runs."""
    settings = function.settings

    def call(core: Any, given: Any) -> None:
        name = given["metadata"]["name"] if isinstance(given, dict) else f"{given.type} {given.name}"
        function(core, given, about=f"{settings.get('kind', 'Flock')} {name}", limit=LIMIT)

    return Controller(
        kube.connect_in_pod(),
        kube.connect_in_pod(),
        namespace,
        call,
        primary=Kind(settings.get("api_version", api_version), settings.get("kind", "Flock")),
        secondary=OWNED,
        trigger=settings.get("trigger", "level"),
        only=settings.get("only", ""),
        writes_per_second=float(settings.get("writes_per_second", 0)),
        journal=tell,
        failed=lambda error: type(error).__name__,  # learner.py has told the rest
    )


def main() -> int:
    """Run until the Pod ends. The lab's own API version is the first argument."""
    function = learner.load()
    with open(NAMESPACE) as file:
        namespace = file.read()
    stop = threading.Event()
    controller(function, sys.argv[1], namespace).start(stop)
    learner.ready()
    stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
