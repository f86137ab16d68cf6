"""Where the mesh is measured: a cluster of its own with the mesh on it, a pair of Pods in each of three namespaces."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from labsupport import cluster as clusters
from labsupport import kube, paths
from labsupport.cluster import mesh
from labsupport.cluster.bench import own_state
from labsupport.console import phase
from labsupport.kube.execute import execute
from labsupport.kube.wait import condition_is
from labsupport.mesh.names import INJECT, PROXY_CONTAINER
from labsupport.patience import patient

if TYPE_CHECKING:
    from pathlib import Path

    from kubernetes.client import ApiClient

    from labsupport.cluster.interface import Cluster

MANIFESTS = paths.CLUSTERS / "manifests" / "bench" / "mesh"
MESH, PLAIN, HAND = "bench-mesh", "bench-plain", "bench-hand"
READY = patient(60.0)  # seconds for a pair
STEADY = ("python3", "-m", "labsupport.mesh.bench.steady")
HAND_URL = "http://127.0.0.1:9000/"


@dataclass(frozen=True)
class Place:
    """The cluster, and how its parts are called."""

    cluster: Cluster
    api: ApiClient

    @property
    def kubeconfig(self) -> Path:
        """For kubectl."""
        return self.cluster.kubeconfig

    def pod(self, namespace: str, app: str) -> str:
        """The one Pod of an application that is not being ended."""
        found = kube.list_objects(self.api, "v1", "Pod", namespace, labels=f"app={app}")
        return next(str(e["metadata"]["name"]) for e in found if "deletionTimestamp" not in e["metadata"])

    def steady(
        self, namespace: str, url: str, rate: float, seconds: float, connections: int, stop: str = ""
    ) -> dict[str, Any]:
        """Send requests from the namespace's client and return what came back (mesh/bench/steady.py).

        For `seconds`, or until there is a file `stop` in the client's container.
        """
        numbers = (f"{each:g}" for each in (rate, seconds, connections))
        words = [*STEADY, url, *numbers, *([stop] if stop else [])]
        pod = self.pod(namespace, "client")
        found: dict[str, Any] = json.loads(
            execute(self.api, namespace, pod, words, container="client", timeout=seconds + 30)
        )
        return found

    def run(self, namespace: str, app: str, command: Sequence[str], container: str = "") -> str:
        """What a command in an application's Pod says."""
        return execute(self.api, namespace, self.pod(namespace, app), command, container=container)

    def envoy_cpu(self, namespace: str, app: str) -> float:
        """CPU seconds that the Envoy beside an application has used (schedstat: nanoseconds on a processor)."""
        container = "envoy" if namespace == HAND else PROXY_CONTAINER
        script = (
            'for p in /proc/[0-9]*; do case "$(cat $p/comm)" in envoy) cat $p/task/*/schedstat;; esac; done'
        )
        said = self.run(namespace, app, ["sh", "-c", script], container)
        return sum(int(line.split()[0]) for line in said.splitlines() if line) / 1e9


def url(namespace: str) -> str:
    """How the client of a namespace calls its server."""
    return HAND_URL if namespace == HAND else "http://server/"


@contextmanager
def place(name: str = "bench") -> Iterator[Place]:
    """A cluster that is made for this and gone afterwards, with the mesh and the pairs on it."""
    with own_state():
        made = clusters.get(name)
        try:
            made.up()
            api = kube.connect(made.kubeconfig)
            with phase("the mesh and three pairs of Pods") as shown:
                mesh.install(api, shown.update)
                _pairs(api)
            yield Place(made, api)
        finally:
            made.down()


def _pairs(api: ApiClient) -> None:
    for namespace in (MESH, PLAIN, HAND):
        labels = {INJECT: "true"} if namespace == MESH else {}
        kube.apply(
            api,
            [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}}],
        )
    strict = {"apiVersion": "mesh.labs.example/v1alpha1", "kind": "PeerAuthentication"}
    kube.apply(api, [strict | {"metadata": {"name": "default"}, "spec": {"mode": "STRICT"}}], namespace=MESH)
    pair = kube.load(MANIFESTS / "pair.yaml")
    for namespace in (MESH, PLAIN):
        applied = kube.apply(api, pair, namespace=namespace)
        targets = [("apps/v1", each) for each in applied if each.kind == "Deployment"]
        kube.until_ready(api, targets, timeout=READY)
    _hand(api)


def _hand(api: ApiClient) -> None:
    """The pair that is configured by hand: the client's Envoy is told the server's address."""
    text = (MANIFESTS / "hand.yaml").read_text()
    server = [each for each in kube.objects.parse(text) if each["metadata"]["name"] != "client"]
    kube.apply(api, [_certificates(), *server], namespace=HAND)
    target = kube.Target("v1", "Pod", "server", HAND)
    kube.until(api, target, condition_is("Ready"), timeout=READY)
    address = (kube.get(api, "v1", "Pod", "server", HAND) or {})["status"]["podIP"]
    kube.apply(api, kube.objects.parse(text.replace("{address}", address)), namespace=HAND)
    kube.until(api, kube.Target("v1", "Pod", "client", HAND), condition_is("Ready"), timeout=READY)


def _certificates() -> dict[str, Any]:
    """One key and certificate for both sides, of a root of its own; as large as the mesh's."""
    from labsupport.mesh.identity import ca

    now = datetime.now(UTC)
    authority = ca.Authority(ca.new_root("root-1", now))
    key = ca.new_key()
    issued = authority.issue(key.public_key(), ca.Identity(HAND, "server", "server", "none"), now=now)
    data = {"tls.crt": ca.pem(issued), "tls.key": ca.key_pem(key), "ca.crt": authority.roots_pem}
    encoded = {name: base64.b64encode(each.encode()).decode() for name, each in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certificates"}, "data": encoded}
