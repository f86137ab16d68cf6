"""Where Quorums are put under stress: a cluster of three nodes of its own, the operator, and a Pod for the load."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from labsupport import cluster as clusters
from labsupport import kube, paths
from labsupport.cluster.bench import own_state
from labsupport.cluster.quorum import API_VERSION as API
from labsupport.cluster.quorum import SYSTEM, install, settled
from labsupport.console import phase
from labsupport.errors import LabsError
from labsupport.kube.wait import condition_is
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANIFESTS = paths.CLUSTERS / "manifests"
SPACE = "bench-quorum"
SETTLED = patient(180.0)  # seconds for a Quorum to be as wanted
OPERATOR = "quorum.labs.example/part=operator"
USUAL = {"size": 3, "release": "1.1", "upgrade": {"backup": "Skip", "healthSeconds": 30}}


@dataclass(frozen=True)
class Place:
    """The cluster and one Quorum on it, and what is done to them."""

    cluster: Any
    api: ApiClient
    pool: ThreadPoolExecutor
    name: str = "q"

    def quorum(self) -> dict[str, Any]:
        """The Quorum as it is now."""
        return kube.get(self.api, API, "Quorum", self.name, SPACE) or {}

    def make(self, spec: Mapping[str, Any]) -> None:
        """Ask for the Quorum."""
        kube.apply(self.api, [_custom("Quorum", self.name, spec)])

    def remove(self) -> None:
        """Delete the Quorum and wait until nothing of it is left."""
        kube.delete(self.api, [_custom("Quorum", self.name, {})])

    def leader(self) -> str:
        """The Pod that leads. Raises LabsError if the operator knows none."""
        leader = str((self.quorum().get("status") or {}).get("leader") or "")
        if not leader:
            raise LabsError("the Quorum has no leader")
        return leader

    def followers(self) -> list[str]:
        """The other members' Pods."""
        leader = self.leader()
        return [name for name in (f"{self.name}-{number}" for number in range(3)) if name != leader]

    def node_of(self, pod: str) -> str:
        """Where a Pod runs."""
        return str((kube.get(self.api, "v1", "Pod", pod, SPACE) or {})["spec"]["nodeName"])

    def on_other_node(self, pods: list[str]) -> str:
        """The first of these Pods that is not on the first node, where the control plane and the load are."""
        return next(pod for pod in pods if self.node_of(pod) != "node-1")

    def lead_elsewhere(self) -> str:
        """A leader that is not on the first node: that node is not stopped; its member is ended until another leads."""
        until = time.monotonic() + SETTLED
        while self.node_of(leader := self.leader()) == "node-1":
            self.kill(leader)
            self.settle()
            if time.monotonic() > until:
                raise LabsError("leadership stays on the first node")
        return leader

    def kill(self, member: str) -> None:
        """End a member's Pod without a grace period, and wait until there is another: else nobody may have noticed."""
        before = (kube.get(self.api, "v1", "Pod", member, SPACE) or {})["metadata"]["uid"]
        self.end(member, SPACE)

        def another(objects: list[dict[str, Any]]) -> kube.Seen:
            others = [each for each in objects if each["metadata"]["uid"] != before]
            return kube.ready(others) if others else kube.Seen(False, "it is not made anew yet")

        kube.until(self.api, kube.Target("v1", "Pod", member, SPACE), another, timeout=SETTLED)

    def end(self, pod: str, namespace: str) -> None:
        """End a Pod without a grace period."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        kube.request(self.api, "DELETE", path, body={"gracePeriodSeconds": 0})

    def edit(self, **spec: Any) -> None:
        """Change the Quorum."""
        kube.patch(self.api, f"/apis/{API}/namespaces/{SPACE}/quorums/{self.name}", {"spec": spec})

    def operators(self) -> list[str]:
        """The operator's Pods."""
        return [
            each["metadata"]["name"]
            for each in kube.list_objects(self.api, "v1", "Pod", SYSTEM, labels=OPERATOR)
        ]

    def process_of(self, pod: str) -> psutil.Process:
        """A member's process, on this machine. Raises LabsError."""
        for first in self.cluster.processes():  # everything of the cluster descends from it
            for process in psutil.Process(first).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    words, variables = process.cmdline(), process.environ()
                    if "labsupport.quorum" in words and variables.get("POD_NAME") == pod:
                        return process
        raise LabsError(f"no process of {pod} is found")

    def settle(self) -> dict[str, Any]:
        """Wait until the Quorum is as its spec wants it. Errors: TimedOut, with what it says of itself."""
        (found,) = kube.until(
            self.api, kube.Target(API, "Quorum", self.name, SPACE), settled, timeout=SETTLED
        )
        return found


def _custom(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": SPACE}
    return {"apiVersion": API, "kind": kind, "metadata": metadata, "spec": dict(spec)}


@contextmanager
def place(name: str = "bench") -> Iterator[Place]:
    """A cluster that is made for this and gone afterwards, with the operator and the load's Pod on it."""
    with own_state(), ThreadPoolExecutor(1) as pool:
        made: Any = clusters.get(name, nodes=3)
        try:
            made.up()
            api = kube.connect(made.kubeconfig)
            with phase("the operator and the load's Pod"):
                furnish(api)
            yield Place(made, api, pool)
        finally:
            made.down()


def furnish(api: ApiClient) -> None:
    """Install the operator and make the load's Pod."""
    install(api)
    kube.apply(api, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}])
    kube.apply(api, kube.load(MANIFESTS / "bench" / "quorum" / "load.yaml"), namespace=SPACE)
    kube.until(api, kube.Target("v1", "Pod", "load", SPACE), condition_is("Ready"), timeout=SETTLED)
