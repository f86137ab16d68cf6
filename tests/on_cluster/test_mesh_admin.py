"""`labs mesh install, upgrade, uninstall, status` on a real cluster: no request fails, and nothing stays."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster

from .conftest import Mesh

Object = dict[str, Any]
Kubectl = Callable[..., Any]
SPACE = "mesh-admin"
RATE, SECONDS = 200, 60


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    """A namespace of the mesh with a server of two Pods, and a caller."""
    labels = {"mesh.labs.example/inject": "true"}
    metadata = {"name": SPACE, "labels": labels}
    kubectl(
        "apply",
        "-f",
        "-",
        input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
    )
    web = {
        "name": "web",
        "image": "labs.example/web:1",
        # It goes on serving until its callers have learned of its end, as any server must that is to be replaced.
        "env": [{"name": "DRAIN", "value": "2"}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    caller = {"name": "caller", "image": "labs.example/python:3.11", "command": ["sleep", "infinity"]}
    items: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"app": "web"},
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
            },
        }
    ]
    for container, replicas in ((web, 2), (caller, 1)):
        name = container["name"]
        spec = {"terminationGracePeriodSeconds": 5, "containers": [container]}
        items.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": {"app": name}},
                    "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
                },
            }
        )
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    kubectl("-n", SPACE, "apply", "-f", "-", input=content)
    rolled(kubectl)
    yield
    kubectl("delete", "namespace", SPACE, "--wait=false")


def rolled(kubectl: Kubectl) -> None:
    for name in ("web", "caller"):
        kubectl("-n", SPACE, "rollout", "status", f"deployment/{name}", "--timeout=60s", timeout=70)


def load(cluster: Cluster, *, keep: bool) -> subprocess.Popen[str]:
    """RATE requests a second for SECONDS from the caller's Pod; nothing is tried a second time."""
    words = ["connections=8", f"requests={RATE * SECONDS}", f"rate={RATE}", f"keep={int(keep)}"]
    command = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig), "-n", SPACE, "exec"]
    command += ["deployment/caller", "-c", "caller", "--", "python3", "-m", "labsupport.shop.load"]
    return subprocess.Popen(
        [*command, f"http://web.{SPACE}/", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_status_says_that_the_mesh_is_ready(mesh: Mesh) -> None:
    found = mesh("status")
    assert found["ready"]
    assert found["webhook"] == "trusted"
    assert SPACE in found["namespaces"]
    states = {(each["owner"]["name"], each["state"]) for each in found["pods"] if each["namespace"] == SPACE}
    assert states == {("web", "current"), ("caller", "current")}


def test_install_may_be_said_again(mesh: Mesh) -> None:
    assert mesh("install")["objects"]
    assert mesh("status")["ready"]


def test_an_upgrade_and_new_proxies_fail_no_request(cluster: Cluster, kubectl: Kubectl, mesh: Mesh) -> None:
    running = [load(cluster, keep=keep) for keep in (True, False)]
    began, upgrades = time.monotonic(), 0
    while time.monotonic() - began < SECONDS - 25:
        mesh("upgrade")
        upgrades += 1
        if upgrades == 1:
            # What `labs mesh upgrade --restart` does where proxies are older.
            kubectl("-n", SPACE, "rollout", "restart", "deployment/web")
            kubectl("-n", SPACE, "rollout", "status", "deployment/web", "--timeout=60s", timeout=70)
    assert all(each.poll() is None for each in running), "the load ended before the last upgrade did"
    for kind, each in zip(("kept", "new"), running, strict=True):
        said, complaint = each.communicate(timeout=SECONDS + 30)
        assert each.returncode == 0, complaint
        result = json.loads(said)
        counted = {key: result[key] for key in ("requests", "ok", "by_status", "errors", "per_second")}
        print(f"{kind} connections, {upgrades} upgrades: {counted}", file=sys.stderr)
        assert (result["requests"], result["ok"]) == (RATE * SECONDS, RATE * SECONDS), counted


def test_a_new_root_fails_no_request(cluster: Cluster, kubectl: Kubectl, mesh: Mesh) -> None:
    """Each step waits for the proxies, and for the kubelet to bring them a changed ConfigMap."""
    before = kubectl("-n", SPACE, "get", "configmap", "mesh-trust", "-o", "jsonpath={.data}").stdout
    running = [load(cluster, keep=keep) for keep in (True, False)]
    done = mesh("rotate")
    assert done["proxies"] >= 3
    for each in running:
        out, problems = each.communicate(timeout=180)
        assert each.returncode == 0, problems
        found = json.loads(out)
        assert found["ok"] == found["requests"] == RATE * SECONDS, out
    after = kubectl("-n", SPACE, "get", "configmap", "mesh-trust", "-o", "jsonpath={.data}").stdout
    assert after.count("BEGIN") == 1
    assert after != before
    assert mesh("status")["ready"]


def test_a_pod_with_an_older_proxy_is_found_and_restarted(kubectl: Kubectl, mesh: Mesh) -> None:
    (pod,) = json.loads(kubectl("-n", SPACE, "get", "pods", "-l", "app=caller", "-o", "json").stdout)["items"]
    name = pod["metadata"]["name"]
    kubectl("-n", SPACE, "annotate", "pod", name, "--overwrite", "mesh.labs.example/revision=000000000000")
    assert mesh("upgrade")["to_restart"] == [{"kind": "Deployment", "namespace": SPACE, "name": "caller"}]
    done = mesh("upgrade", "--restart")
    assert done["restarted"] == [{"kind": "Deployment", "namespace": SPACE, "name": "caller"}]
    assert done["to_restart"] == []


def traces(kubectl: Kubectl) -> list[str]:
    """All objects that could be the mesh's, by name or by label; Pods and what belongs to them left out."""
    kinds = kubectl("api-resources", "--verbs=list", "-o", "name").stdout.split()
    passing = ("pods", "events", "replicasets", "controllerrevisions", "podmetrics", "endpoint", "namespaces")
    wanted = ",".join(kind for kind in kinds if not kind.startswith(passing))
    items = json.loads(kubectl("get", wanted, "-A", "-o", "json", timeout=120).stdout)["items"]
    return sorted(
        f"{each['kind']} {each['metadata'].get('namespace', '')}/{each['metadata']['name']}"
        for each in items
        if each["metadata"]["name"].startswith("mesh-")
        or each["metadata"]["name"].endswith(("mesh.labs.example", "gateway.networking.k8s.io"))
        or each["metadata"]["name"].endswith("-labs-mesh")
        or "mesh.labs.example/part" in (each["metadata"].get("labels") or {})
    )


def test_uninstall_leaves_nothing_and_pods_work_without(kubectl: Kubectl, mesh: Mesh) -> None:
    listener = {"name": "http", "port": 80, "protocol": "HTTP"}
    gateway = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {"gatewayClassName": "labs-mesh", "listeners": [listener]},
    }
    kubectl("-n", SPACE, "apply", "-f", "-", input=json.dumps(gateway))
    kubectl("-n", SPACE, "wait", "gateway/edge", "--for=condition=Programmed", "--timeout=60s", timeout=70)
    made = [f"{kind} {SPACE}/edge-labs-mesh" for kind in ("Deployment", "Service", "ServiceAccount")]
    assert set(made) <= set(traces(kubectl))
    done = mesh("uninstall")
    try:
        assert traces(kubectl) == []
        assert {each["name"] for each in done["to_restart"] if each["namespace"] == SPACE} == {
            "web",
            "caller",
        }
        again = mesh("uninstall", "--restart")
        assert not again["existed"]
        rolled(kubectl)
        pods = json.loads(kubectl("-n", SPACE, "get", "pods", "-o", "json").stdout)["items"]
        alive = [each for each in pods if not each["metadata"].get("deletionTimestamp")]
        assert [each["spec"].get("initContainers") for each in alive] == [None] * 3
        said = kubectl("-n", SPACE, "exec", "deployment/caller", "--", "curl", "-sS", f"http://web.{SPACE}/")
        assert json.loads(said.stdout)["service"] == "web"
        assert mesh("status", status=1)["installed"] is False
    finally:
        mesh("install")
