"""Customers who come again and again: a request every so often, and a complaint that outlives their Pod.

A Pod that is replaced takes its memory and its log along, so the first request that fails is written down in ConfigMap
`complaints` of the Pod's namespace, under the value of COMPLAINS_AS; it is written once. Requests count from the first
that was answered on: who has never been served is not ready, and complains of nothing.

Environment: URL (what is asked for), RATE (requests each second, default 20), COMPLAINS_AS (default: the host's name),
POD_NAMESPACE. Each request has a connection of its own. Every 5 s a line says how many were answered and how many
failed.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

COMPLAINTS = "complaints"
READY = Path("/tmp/ready")  # noqa: S108 (a container's own /tmp) the readiness probe looks for it
TIMEOUT = 3.0  # seconds for one request
SAID = 5.0  # seconds between two lines


def ask(url: str, timeout: float = TIMEOUT) -> str:
    """Send one GET over a connection of its own: "" if it is answered well, else what happened."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return f"status {answer.status}" if answer.status >= 400 else ""


@dataclass
class Customers:
    """Who sends the requests: `send` does it once, `complain` is told of the first failure."""

    send: Callable[[], str]
    complain: Callable[[str], None]
    serve: Callable[[], None]  # told once: the first request was answered
    answered: int = 0
    failed: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def once(self) -> None:
        """One request."""
        trouble = self.send()
        if not trouble:
            self.answered += 1
            if self.answered == 1:
                self.serve()
        elif self.answered:
            self.failed += 1
            if self.failed == 1:
                self.complain(trouble)

    def run(self, rate: float, say: Callable[[str], None] = print) -> None:
        """Come again until `stop`; a request that was begun is brought to its end."""
        said = time.monotonic()
        while not self.stop.is_set():
            began = time.monotonic()
            self.once()
            if time.monotonic() - said >= SAID:
                said = time.monotonic()
                say(f"{self.answered} answered, {self.failed} failed")
            self.stop.wait(max(0.0, began + 1 / rate - time.monotonic()))
        say(f"{self.answered} answered, {self.failed} failed; going")


def written(namespace: str, name: str, trouble: str) -> None:
    """Write a complaint down, unless there is one under that name already. Errors: Refused, Unreachable."""
    from labsupport import kube

    api = kube.connect_in_pod()
    path = f"/api/v1/namespaces/{namespace}/configmaps/{COMPLAINTS}"
    held = kube.request(api, "GET", path).get("data") or {}
    if name not in held:
        now = datetime.now(UTC).strftime("%H:%M:%S")
        kube.patch(api, path, {"data": {name: f"{now} {trouble}"}})


def main() -> int:
    """Come until SIGTERM or SIGINT."""
    url, name = os.environ["URL"], os.environ.get("COMPLAINS_AS") or socket.gethostname()
    namespace = os.environ["POD_NAMESPACE"]

    def complain(trouble: str) -> None:
        print(f"a request failed: {trouble}", flush=True)
        written(namespace, name, trouble)

    customers = Customers(lambda: ask(url), complain, READY.touch)

    def end(signal_number: int, frame: FrameType | None) -> None:
        customers.stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    customers.run(float(os.environ.get("RATE", "20")), lambda text: print(text, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
