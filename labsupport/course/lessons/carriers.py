"""How long a policy is late: the last answer over open connections by the old one, after a new one was put in place.

The Envoy `carriers` of lab M6 has the same policy in two places, each in a file. A new file is moved over the old one
while the load generator keeps its connections busy; both tell the time by the node's clock.
"""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.course.lessons import traffic
from labsupport.course.views import Table
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DEPLOYMENT = "carriers"
# Which file says what is allowed, and at which port that holds.
CARRIERS = {"the listener": ("listeners.yaml", 9001), "a resource of its own": ("policy.yaml", 9002)}
ALLOWED = "{everybody: {permissions: [{any: true}], principals: [{any: true}]}}"
BEFORE = 1.0  # seconds of load before the change
READY = patient(20.0)


@dataclass(frozen=True)
class Stale:
    """What became of requests after the change: seconds until the last that was allowed still, and counts."""

    carrier: str
    seconds: float
    allowed: int
    denied: int
    connections: int


def measure(
    api: ApiClient,
    namespace: str,
    carrier: str,
    *,
    connections: int = 2,
    rate: float = 200,
    seconds: float = 10,
) -> Stale:
    """Deny everybody at one of CARRIERS under load, and take it back after it.

    Errors: LabsError if the Envoy or the load generator is not there; KeyError for another carrier.
    """
    file, port = CARRIERS[carrier]
    pod = _pod(api, namespace)
    found: list[traffic.Load | Exception] = []

    def load() -> None:
        plan = {"connections": connections, "rate": rate, "requests": round((BEFORE + seconds) * rate)}
        try:
            found.append(traffic.run(api, namespace, f"http://{DEPLOYMENT}:{port}/", **plan))
        except Exception as error:  # told in the thread that asked for it
            found.append(error)

    running = threading.Thread(target=load)
    running.start()
    try:
        changed = _deny(api, namespace, pod, file)
        running.join()
    finally:
        _put(api, namespace, pod, f"cp /config/{file} /xds/next")
    (came,) = found
    if isinstance(came, Exception):
        raise came
    result = came.result
    denied = int(result["by_status"].get("403", 0))
    last = float(result["last_at"].get("200", changed))
    return Stale(carrier, max(0.0, last - changed), came.ok, denied, int(result["opened"]))


def table(found: list[Stale]) -> Table:
    """A row for each."""
    rows = [
        (each.carrier, f"{1000 * each.seconds:,.0f} ms", f"{each.allowed:,}", f"{each.denied:,}")
        for each in found
    ]
    columns = ("The policy is in", "Last request let through after the change", "Let through", "Denied")
    return Table("A policy that denies, while connections are open", columns, rows)


def _deny(api: ApiClient, namespace: str, pod: str, file: str) -> float:
    """Put the file with nobody allowed in place, after BEFORE; when that was (Unix time)."""
    # Of the listeners' file the first policy only: in it no other is written out.
    made = f"sed 's/policies: {ALLOWED}/policies: {{}}/' /config/{file} > /xds/next"
    return _put(api, namespace, pod, f"sleep {BEFORE:g}; {made}")


def _put(api: ApiClient, namespace: str, pod: str, made: str) -> float:
    """Run what makes /xds/next, move it over the file that is named in it; when it was moved (Unix time)."""
    file = made.rpartition("/config/")[2].split()[0]
    script = f"{made}; date +%s.%N; mv /xds/next /xds/{shlex.quote(file)}"
    return float(execute(api, namespace, pod, ["sh", "-c", script]))


def _pod(api: ApiClient, namespace: str) -> str:
    target = kube.Target("apps/v1", "Deployment", DEPLOYMENT, namespace)
    kube.until_ready(api, [target], timeout=READY)
    found = kube.ready_pods(api, namespace, f"app={DEPLOYMENT}")
    if not found:
        raise LabsError(
            f"{DEPLOYMENT} has no Pod that is ready in {namespace}.", fix="apply start/carriers.yaml"
        )
    return str(found[-1]["metadata"]["name"])
