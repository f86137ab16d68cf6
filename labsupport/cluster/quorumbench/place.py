"""Where the Quorum is put under stress: a cluster of three nodes of its own, the operator, a member on each node."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from labsupport.kube.execute import execute
from labsupport.kube.wait import condition_is
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

MANIFESTS = paths.CLUSTERS / "manifests"
SPACE, NAME = "bench-quorum", "q"
STOP = "/tmp/stop"  # noqa: S108 - in the load's container
SETTLED = patient(180.0)  # seconds for a Quorum to be as wanted
OPERATOR = "quorum.labs.example/part=operator"


@dataclass(frozen=True)
class Place:
    """The cluster, and what is done to it."""

    cluster: Any
    api: ApiClient
    pool: ThreadPoolExecutor

    def quorum(self) -> dict[str, Any]:
        """The Quorum as it is now."""
        return kube.get(self.api, API, "Quorum", NAME, SPACE) or {}

    def leader(self) -> str:
        """The Pod that leads. Raises LabsError if the operator knows none."""
        leader = str((self.quorum().get("status") or {}).get("leader") or "")
        if not leader:
            raise LabsError("the Quorum has no leader")
        return leader

    def followers(self) -> list[str]:
        """The other members' Pods."""
        leader = self.leader()
        return [name for name in (f"{NAME}-{number}" for number in range(3)) if name != leader]

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

    def kill(self, pod: str, namespace: str = SPACE) -> None:
        """End a Pod without a grace period."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}"
        kube.request(self.api, "DELETE", path, body={"gracePeriodSeconds": 0})

    def edit(self, **spec: Any) -> None:
        """Change the Quorum."""
        kube.patch(self.api, f"/apis/{API}/namespaces/{SPACE}/quorums/{NAME}", {"spec": spec})

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
        target = kube.Target(API, "Quorum", NAME, SPACE)
        (found,) = kube.until(self.api, target, settled, timeout=SETTLED)
        return found

    def load(self, members: int) -> Future[dict[str, Any]]:
        """Begin to read and write; what came of it, once `stop_load` is called."""
        execute(self.api, SPACE, "load", ["rm", "-f", STOP])
        words = ["python3", "-m", "labsupport.quorum", "load", "--members", str(members), "--seconds", "600"]
        words += ["--stop", STOP]

        def run() -> dict[str, Any]:
            said = execute(self.api, SPACE, "load", words, timeout=900)
            found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
            return found

        return self.pool.submit(run)

    def stop_load(self) -> None:
        """Have the load end."""
        execute(self.api, SPACE, "load", ["touch", STOP])


@contextmanager
def place(name: str = "bench") -> Iterator[Place]:
    """A cluster that is made for this and gone afterwards, with a settled Quorum on it."""
    with own_state(), ThreadPoolExecutor(1) as pool:
        made: Any = clusters.get(name, nodes=3)
        try:
            made.up()
            api = kube.connect(made.kubeconfig)
            here = Place(made, api, pool)
            with phase("the operator, a Quorum of three, and the load's Pod"):
                found(here)
            yield here
        finally:
            made.down()


def found(here: Place) -> None:
    """Install the operator and make the Quorum."""
    api = here.api
    install(api)
    kube.apply(api, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}])
    kube.apply(api, kube.load(MANIFESTS / "bench" / "quorum" / "quorum.yaml"), namespace=SPACE)
    here.settle()
    kube.apply(api, kube.load(MANIFESTS / "bench" / "quorum" / "load.yaml"), namespace=SPACE)
    kube.until(api, kube.Target("v1", "Pod", "load", SPACE), condition_is("Ready"), timeout=SETTLED)
