"""How long a changed policy's old answers still come: from the request to the API server to the last stale answer.

As propagation.py does it for routes: under requests on connections that stay open, a Deny policy that refuses the
client's requests in turns, and does not.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.cluster.meshbench.figures import spread
from labsupport.cluster.meshbench.place import MESH, Place, url
from labsupport.cluster.meshbench.propagation import CHANGES, CONNECTIONS, EVERY, LONGEST, RATE, STOP
from labsupport.console import phase
from labsupport.errors import LabsError

ALLOWED, REFUSED = "200", "403"


@dataclass(frozen=True)
class Obeyed:
    """Milliseconds for each change to a refusal and to an answer, and what was answered otherwise meanwhile."""

    deny_ms: tuple[float, ...]
    allow_ms: tuple[float, ...]
    apply_ms: tuple[float, ...]  # until the API server had answered
    failed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        both = [*self.deny_ms, *self.allow_ms]
        parts = {"deny": self.deny_ms, "allow": self.allow_ms, "apply": self.apply_ms}
        return (
            spread(both) | {name: spread(values) for name, values in parts.items()} | {"failed": self.failed}
        )


def measure(place: Place, changes: int = CHANGES) -> Obeyed:
    """Change a policy again and again under requests. Errors: LabsError where a change was never obeyed; Refused."""
    began: list[float] = []
    took: list[float] = []
    said: list[dict[str, Any]] = []

    def apply(*, refuse: bool) -> None:
        at = time.time()
        kube.apply(place.api, [policy(refuse=refuse)], namespace=MESH)
        began.append(at)
        took.append(1000 * (time.time() - at))

    def send() -> None:
        said.append(place.steady(MESH, url(MESH), RATE, LONGEST, CONNECTIONS, STOP))

    place.run(MESH, "client", ["rm", "-f", STOP], "client")
    with phase(f"{changes} changes of a policy under {RATE:g} requests a second"):
        kube.apply(place.api, [policy(refuse=False)], namespace=MESH)
        try:
            sending = threading.Thread(target=send)
            sending.start()
            begun = time.monotonic() + 2  # the client has started by then
            for number in range(changes):
                # A steady pace, not a wait for something.
                time.sleep(max(0.0, begun + number * EVERY - time.monotonic()))
                apply(refuse=number % 2 == 0)
            time.sleep(EVERY)
            place.run(MESH, "client", ["touch", STOP], "client")
            sending.join()
        finally:
            kube.delete(
                place.api, [policy(refuse=False) | {"metadata": {"name": "bench", "namespace": MESH}}]
            )
    if not said:
        raise LabsError("the requests ended with an error")
    times = said[0]["times"]
    stale = [last_stale(times, began, number) for number in range(changes)]
    other = sum(count for what, count in said[0]["failures"].items() if what != f"status {REFUSED}")
    return Obeyed(tuple(stale[::2]), tuple(stale[1::2]), tuple(took), other)


def last_stale(times: dict[str, list[float]], began: list[float], number: int) -> float:
    """Milliseconds from a change to the last answer that is not by it; 0 where there is none.

    `times`: when each status was answered. Even changes refuse, odd ones allow. Errors: LabsError where no answer was
    by it before the next change.
    """
    now, old = (REFUSED, ALLOWED) if number % 2 == 0 else (ALLOWED, REFUSED)
    ends = began[number + 1] if number + 1 < len(began) else float("inf")
    if not any(began[number] < at < ends for at in times.get(now, ())):
        raise LabsError(f"change {number} of the policy was never obeyed: the machine is too busy")
    return 1000 * max(
        (at - began[number] for at in times.get(old, ()) if began[number] < at < ends), default=0.0
    )


def policy(*, refuse: bool) -> dict[str, Any]:
    """A Deny policy for the server that matches everything, or nothing."""
    spec = {"selector": {"matchLabels": {"app": "server"}}, "action": "Deny", "rules": [{}] if refuse else []}
    found = {"apiVersion": "mesh.labs.example/v1alpha1", "kind": "AuthorizationPolicy"}
    return {**found, "metadata": {"name": "bench"}, "spec": spec}
