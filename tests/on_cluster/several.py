"""What tests of several nodes share: what runs on the nodes, what is asked of them, and when one is lost or back."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labsupport import kube

from .pods import PYTHON, pod

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LABS = [sys.executable, "-m", "labsupport.cli"]
NAME = "nodes"
NODES = ("node-1", "node-2", "node-3")
LOST = 90.0  # seconds; Kubernetes' own 50 and what a busy machine adds
SOON = 60.0
SERVER = (
    "import http.server, os\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        body = f\"{os.environ['NODE']} {self.client_address[0]}\".encode()\n"
    "        self.send_response(200)\n"
    "        self.send_header('Content-Length', str(len(body)))\n"
    "        self.end_headers()\n"
    "        self.wfile.write(body)\n"
    "    def log_message(self, *words): print('asked', flush=True)\n"
    "http.server.ThreadingHTTPServer(('', 8080), Handler).serve_forever()\n"
)
Kubectl = Callable[..., Any]
Object = dict[str, Any]


def server_objects() -> tuple[Object, Object]:
    """A DaemonSet whose Pods answer with their node's name and who asked, and a NodePort Service before it."""
    container = {
        "name": "main",
        "image": PYTHON,
        "command": ["python3", "-c", SERVER],
        "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    template = {
        "metadata": {"labels": {"app": "server"}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
    }
    selector = {"app": "server"}
    daemons = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "server"},
        "spec": {"selector": {"matchLabels": selector}, "template": template},
    }
    ports = [{"port": 80, "targetPort": 8080, "nodePort": 30080}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server"},
        "spec": {"type": "NodePort", "selector": selector, "ports": ports},
    }
    return daemons, service


def movable(name: str) -> Object:
    """A Deployment of one Pod: best on node-2, never on node-3, and it tolerates a lost node for one second."""
    tolerations = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 1,
        }
        for key in ("not-ready", "unreachable")
    ]

    def one_of(*nodes: str) -> Object:
        return {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [*nodes]}]}

    allowed = {"nodeSelectorTerms": [one_of("node-1", "node-2")]}
    affinity = {
        "requiredDuringSchedulingIgnoredDuringExecution": allowed,
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": one_of("node-2")}],
    }
    single = pod(name, tolerations=tolerations, affinity={"nodeAffinity": affinity})
    template = {"metadata": {"labels": {"app": name}}, "spec": single["spec"]}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": spec,
    }


def labs_node(*arguments: str) -> Any:
    """`labs node ... --json`, which must succeed; what it printed."""
    command = [*LABS, "node", *arguments, "--name", NAME, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fetch(kubectl: Kubectl, name: str, *urls: str, seconds: int = 5) -> list[str]:
    """What curl in a Pod gets from each URL, or complains of: "curl: (28) ..." where no answer comes in time."""
    # One after another in one exec: it takes longer than the requests.
    asked = f'for url; do curl -sS --max-time {seconds} "$url" 2>&1; echo; done'
    words = [
        line
        for line in kubectl("exec", name, "--", "sh", "-c", asked, "-", *urls).stdout.splitlines()
        if line
    ]
    assert len(words) == len(urls), words
    return words


def eventually(condition: Callable[[], object], what: Callable[[], str], deadline: float) -> None:
    """Wait for what offers no event to wait for; `what` says what was seen last."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < deadline, f"not within {deadline:.0f} s: {what()}"
        time.sleep(0.1)


def is_lost(nodes: list[Object]) -> kube.Seen:
    """The node's Ready is Unknown, and it has the taint that evicts Pods."""
    conditions = {each["type"]: each for each in nodes[0]["status"]["conditions"]} if nodes else {}
    status = conditions.get("Ready", {}).get("status")
    taints = {f"{taint['key']}:{taint['effect']}" for taint in nodes[0]["spec"].get("taints", [])}
    wanted = {f"node.kubernetes.io/unreachable:{effect}" for effect in ("NoSchedule", "NoExecute")}
    return kube.Seen(status == "Unknown" and wanted <= taints, f"Ready is {status}, taints {sorted(taints)}")


def is_back(nodes: list[Object]) -> kube.Seen:
    """The node is Ready and has no taint."""
    conditions = {each["type"]: each for each in nodes[0]["status"]["conditions"]} if nodes else {}
    status = conditions.get("Ready", {}).get("status")
    taints = [taint["key"] for taint in nodes[0]["spec"].get("taints", [])]
    return kube.Seen(status == "True" and not taints, f"Ready is {status}, taints {taints}")


def wait_for_node(
    api: ApiClient, name: str, condition: Callable[[list[Object]], kube.Seen], seconds: float
) -> None:
    kube.until(api, kube.Target("v1", "Node", name), condition, timeout=seconds)


def containers_of(kubectl: Kubectl, server: Object) -> str:
    path = "jsonpath={.status.containerStatuses[0]['containerID','restartCount']}"
    return str(kubectl("get", "pod", server["metadata"]["name"], "-o", path).stdout)
