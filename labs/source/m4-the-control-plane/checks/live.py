"""What the live checks share: the lab's control plane and proxy, and a Service of the check's own."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Self

from labsupport import kube
from labsupport.course.deploy import Deployed, describe
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons.proxy import Proxy
from labsupport.patience import patient

CONTROL = "snapshot"
# Seconds for a change to reach the proxy. It takes some hundredths, or until the proxy has found a new control plane.
SETTLE = patient(12.0)
LIKE = 6  # answers in a row that count as settled
GATEWAY = "gateway.networking.k8s.io/v1"
Json = dict[str, Any]


def control_plane(probe: Probe, exercise: str, *, proxy: bool = True) -> Deployed:
    """The control plane, and, if it is looked for, a proxy that serves. Errors: Rejected where one is missing."""
    found = probe.deployed(CONTROL)
    if found is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                "No control plane runs in your namespace.",
                f"Deployment {CONTROL} in {probe.namespace}",
                "The last line of the exercise's cell deploys your function.",
            )
        )
    if not found:
        raise Rejected(
            not_yet(
                "not-deployed",
                f"The control plane does not run: {found.problem}",
                f"Deployment {CONTROL} in {probe.namespace}",
                "Run the exercise's cell again.",
            )
        )
    running = Proxy(probe.world).running(probe.left(SETTLE)) if proxy else None
    if running and not running.serving:
        raise Rejected(
            not_yet(
                f"{exercise}/no-proxy",
                running.why,
                "Deployment proxy",
                'Apply `start/proxy.yaml`, or start the lab again: `lab.start("m4", at=...)`.',
            )
        )
    return found


@dataclass(frozen=True)
class Behind:
    """A Pod by its name and address."""

    name: str
    address: str


class Shelf:
    """A Service of the check's own, with the endpoints that it is given, and at most one route."""

    def __init__(self, probe: Probe, name: str) -> None:
        self.probe, self.name = probe, name

    def __enter__(self) -> Self:
        self._apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": self.name},
                "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
            }
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Delete the Service, its endpoints and its route."""
        gone = [
            {"apiVersion": GATEWAY, "kind": "HTTPRoute", "metadata": {"name": self.name}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": self.name}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": self.name}},
        ]
        with contextlib.suppress(kube.Refused):
            kube.delete(self.probe.api, gone, namespace=self.probe.namespace)

    def behind(self, app: str) -> list[Behind]:
        """The ready Pods of an application."""
        return [
            Behind(pod["metadata"]["name"], pod["status"]["podIP"])
            for pod in self.probe.list("v1", "Pod", labels=f"app={app}")
            if kube.ready([{"kind": "Pod", **pod}]).done
        ]

    def pods(self) -> tuple[Behind, Behind]:
        """Two ready Pods of web. Errors: Rejected if there are none."""
        found = self.behind("web")
        if len(found) < 2:
            raise Rejected(
                not_yet(
                    "m4-snapshot/no-web",
                    f"The Deployment web has {len(found)} ready Pods.",
                    "Deployment web",
                    'It has two at the start of the lab: `control.scale(lab, "web", 2)`',
                )
            )
        return found[0], found[1]

    def serve(self, *pods: Behind) -> None:
        """These are the endpoints now."""
        self._apply(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": self.name,
                    "labels": {
                        "kubernetes.io/service-name": self.name,
                        "endpointslice.kubernetes.io/managed-by": "labs.example",
                    },
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                "endpoints": [{"addresses": [each.address], "conditions": {"ready": True}} for each in pods],
            }
        )

    def route(self, prefix: str, backend: str) -> None:
        """What begins with `prefix` goes to `backend`, all else to this Service."""
        rules = [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": prefix}}],
                "backendRefs": [{"name": backend, "port": 80}],
            },
            {"backendRefs": [{"name": self.name, "port": 80}]},
        ]
        parent = {"group": "", "kind": "Service", "name": self.name}
        self._apply(
            {
                "apiVersion": GATEWAY,
                "kind": "HTTPRoute",
                "metadata": {"name": self.name},
                "spec": {"parentRefs": [parent], "rules": rules},
            }
        )

    def _apply(self, found: Json) -> None:
        found["metadata"]["labels"] = {**found["metadata"].get("labels", {}), **self.probe.world.labels}
        kube.apply(self.probe.api, [found], namespace=self.probe.namespace)


def settled(probe: Probe, host: str, path: str, pods: set[str], plane: Deployed | None = None) -> str:
    """Wait until the answers of LIKE requests in a row come from all these Pods and from no others; returns who
    answers otherwise, or empty. There is nothing to wait for once `plane` has failed for objects named like the host.
    """
    proxy = Proxy(probe.world)
    pod = proxy.running().pod
    ending = time.monotonic() + probe.left(SETTLE)
    said = ""
    while time.monotonic() < ending:
        replies = [proxy.send(path, {"Host": host}, pod=pod) for _ in range(LIKE)]
        seen = {reply.pod for reply in replies}
        if seen == pods:
            return ""
        others = [reply for reply in replies if reply.pod not in pods]
        first = (others or replies)[0]
        said = f"{first.who} with status {first.status}" if others else f"{', '.join(sorted(seen))} alone"
        failed = [each for each in plane.errors() if host in each.input] if plane else []
        if failed:
            return f"{said}, after a failure in your function: {describe(failed[-1])}"
        time.sleep(0.05)
    return said
