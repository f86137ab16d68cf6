"""What a sidecar tells of itself: which certificates it has had, and how often it greeted a service."""

from __future__ import annotations

import re

from labsupport import kube
from labsupport.course.exercise import Probe
from labsupport.kube.execute import execute
from labsupport.mesh import names

from .shop import is_ready, pods

_RENEWED = re.compile(r"^mesh-proxy: certificate of \S+ renewed in", re.MULTILINE)


def ready_pod(probe: Probe, app: str) -> str:
    """The name of a Pod of `app` that is ready, or ""."""
    return next((each["metadata"]["name"] for each in pods(probe, app) if is_ready(each)), "")


def certificates(probe: Probe, pod: str) -> int:
    """How many certificates the sidecar of a Pod has been given since it began."""
    path = f"/api/v1/namespaces/{probe.namespace}/pods/{pod}/log"
    said = kube.request(probe.api, "GET", path, query={"container": names.PROXY_CONTAINER})
    return len(_RENEWED.findall(str(said)))


def greetings(probe: Probe, pod: str, service: str, port: int = 80) -> int:
    """How many TLS connections the sidecar of a Pod has begun to a Service, by Envoy's own count."""
    address = f"127.0.0.1:{names.ADMIN}/stats?filter=ssl.handshake$"
    said = execute(probe.api, probe.namespace, pod, ["curl", "-s", f"http://{address}"])
    name = f"cluster.{probe.namespace}/{service}/{port}.ssl.handshake"
    return next(
        (int(line.rpartition(" ")[2]) for line in said.splitlines() if line.startswith(f"{name}:")), 0
    )
