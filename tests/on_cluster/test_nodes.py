"""A cluster of three nodes: Pods are spread and talk, nodes fail as Kubernetes documents, and all comes back.

One cluster for all of it, in the order of the file. The failures take a minute: Kubernetes waits 50 s before it holds a
node for lost.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from labsupport import kube
from labsupport.cluster import get
from labsupport.cluster.embedded import addresses, holder
from labsupport.cluster.embedded.backend import EmbeddedCluster
from labsupport.cluster.embedded.inspect import node_processes
from labsupport.cluster.embedded.prepare import node_directory
from labsupport.cluster.embedded.readiness import read_status
from labsupport.errors import LabsError

from .machine import belongings, left_of
from .pods import pod, start
from .several import (
    LABS,
    LOST,
    NAME,
    NODES,
    SOON,
    Kubectl,
    Object,
    containers_of,
    eventually,
    fetch,
    is_back,
    is_lost,
    labs_node,
    movable,
    server_objects,
    wait_for_node,
)

if TYPE_CHECKING:
    from kubernetes.client import ApiClient


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """Three nodes, come about as a learner's may: one at first, then more, with a Ctrl-C while they were added."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("nodes")))
        made = get(NAME)
        assert isinstance(made, EmbeddedCluster)
        try:
            made.up()
            more = [*LABS, "up", "--name", NAME, "--nodes", "3"]
            process = subprocess.Popen(more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            begun = node_directory(made._directory, addresses.Addresses(2)).etc
            while not begun.exists() and process.poll() is None:
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
            assert process.returncode in (130, -signal.SIGINT), said
            assert "Traceback" not in said
            # Without --nodes: an interrupted one has noted what was asked for.
            again = subprocess.run(
                [*LABS, "up", "--name", NAME], capture_output=True, text=True, timeout=120, check=False
            )
            assert again.returncode == 0, again.stderr
            yield made
        finally:
            made.down()


@pytest.fixture(scope="module")
def kubectl(cluster: EmbeddedCluster) -> Kubectl:
    def run(*arguments: str, check: bool = True, input: str = "", timeout: float = 60) -> Any:
        program = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig)]
        done = subprocess.run(
            [*program, *arguments], input=input, capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout}")
        return done

    return run


@pytest.fixture(scope="module")
def api(cluster: EmbeddedCluster) -> ApiClient:
    return kube.connect(cluster.kubeconfig)


@pytest.fixture(scope="module")
def servers(kubectl: Kubectl, api: ApiClient) -> dict[str, Object]:
    """A DaemonSet behind a NodePort Service: its Pod on each node, by the node's name."""
    start(kubectl, "default", *server_objects())
    kubectl("rollout", "status", "daemonset/server", "--timeout=60s")
    found = kube.list_objects(api, "v1", "Pod", "default", labels="app=server")
    return {each["spec"]["nodeName"]: each for each in found}


def test_an_interrupted_up_has_gone_on_to_three_nodes(cluster: EmbeddedCluster) -> None:
    status = cluster.status()
    assert status.ready, status.problems
    everywhere = {"container-monitor", "runtime", "kubelet", "kube-proxy"}
    names = {node: {c.name for c in status.components if c.node == node} for node in NODES}
    assert names["node-2"] == names["node-3"] == everywhere
    assert names["node-1"] > everywhere
    assert [(node.name, node.state, node.ready) for node in cluster.nodes()] == [
        (name, "running", True) for name in NODES
    ]
    assert cluster.up().action == "found"


def test_fewer_nodes_are_refused(cluster: EmbeddedCluster) -> None:
    with pytest.raises(LabsError, match="has 3 nodes"):
        get(NAME, nodes=2).up()
    assert cluster.status().ready


@pytest.mark.parametrize(
    ("what", "node", "complaint"),
    [
        ("stop", "node-1", "control plane"),
        ("partition", "node-4", "has no node"),
        ("start", "x", "has no node"),
    ],
)
def test_what_cannot_be_done_to_a_node(
    cluster: EmbeddedCluster, what: str, node: str, complaint: str
) -> None:
    done = subprocess.run(
        [*LABS, "node", what, node, "--name", NAME], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Next: " in done.stderr


def test_pods_are_spread(kubectl: Kubectl, api: ApiClient) -> None:
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "spread"}},
    }
    apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "apart"}}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    for name, replicas, constraint in (
        ("spread", 6, {"topologySpreadConstraints": [spread]}),
        ("apart", 4, {"affinity": affinity}),
    ):
        single = pod(name, **constraint)
        template = {"metadata": {"labels": {"app": name}}, "spec": single["spec"]}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
        start(
            kubectl,
            "default",
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec},
        )
    kubectl("rollout", "status", "deployment/spread", "--timeout=60s")
    where = [each["spec"]["nodeName"] for each in kube.list_objects(api, "v1", "Pod", labels="app=spread")]
    assert sorted(where) == sorted(NODES * 2)

    def three_and_one_waits(pods: list[Object]) -> kube.Seen:
        placed = sorted(each["spec"].get("nodeName", "") for each in pods)
        return kube.Seen(placed == ["", *NODES], f"the Pods are on {placed}")

    kube.until(
        api,
        kube.Target("v1", "Pod", namespace="default", labels="app=apart"),
        three_and_one_waits,
        timeout=SOON,
    )
    kubectl("delete", "deployment/spread", "deployment/apart", "--wait=false")


def test_pods_talk_across_nodes_without_address_translation(
    kubectl: Kubectl, servers: dict[str, Object]
) -> None:
    assert sorted(servers) == sorted(NODES), "a DaemonSet has a Pod on each node"
    urls = [f"http://{there['status']['podIP']}:8080" for there in servers.values()]
    for here in servers.values():
        said = fetch(kubectl, here["metadata"]["name"], *urls)
        assert said == [f"{node} {here['status']['podIP']}" for node in servers], here["spec"]["nodeName"]


def test_services_names_and_node_ports_answer_on_every_node(
    kubectl: Kubectl, servers: dict[str, Object]
) -> None:
    urls = ["http://server", "http://server.default.svc.cluster.local"]
    urls += [f"http://{addresses.Addresses(number).ip}:30080" for number in (1, 2, 3)]
    for here in servers.values():
        said = fetch(kubectl, here["metadata"]["name"], *urls)
        assert {line.split()[0] for line in said} <= set(NODES), dict(zip(urls, said, strict=True))


def test_exec_logs_and_port_forward_reach_every_node(
    cluster: EmbeddedCluster, kubectl: Kubectl, servers: dict[str, Object]
) -> None:
    for node, server in servers.items():
        name = server["metadata"]["name"]
        assert kubectl("exec", name, "--", "printenv", "NODE").stdout.strip() == node
        assert "asked" in kubectl("logs", name, "--tail=1").stdout
        command = [
            str(cluster.kubectl()),
            "--kubeconfig",
            str(cluster.kubeconfig),
            "port-forward",
            name,
            ":8080",
        ]
        forward = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert forward.stdout
            port = forward.stdout.readline().split("127.0.0.1:")[1].split()[0]
            curl = ["curl", "-sS", "--noproxy", "*", "--max-time", "5", f"http://127.0.0.1:{port}"]
            assert subprocess.run(curl, capture_output=True, text=True).stdout.startswith(node)
        finally:
            forward.kill()
            forward.wait()


def test_a_volume_follows_its_pod_to_another_node(kubectl: Kubectl) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "moving"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    start(kubectl, "default", claim)
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "moving"}}]
    for node in ("node-2", "node-3"):
        write = ["sh", "-c", f"echo {node} >> /data/nodes; exec sleep infinity"]
        mounted = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        here = {"kubernetes.io/hostname": node}
        start(
            kubectl,
            "default",
            pod("mover", command=write, nodeSelector=here, volumes=volumes, container=mounted),
        )
        said = kubectl("exec", "mover", "--", "cat", "/data/nodes").stdout.split()
        # Not by force: the object is gone only when the container is, and a later test counts the node's processes.
        kubectl("delete", "pod", "mover", "--grace-period=1")
    assert said == ["node-2", "node-3"]
    kubectl("delete", "persistentvolumeclaim", "moving", "--wait=false")


def test_a_worker_leads_nowhere_either(kubectl: Kubectl) -> None:
    """The bounds of test_escapes.py, on a node of the other kind."""
    powerful = pod(
        "powerful",
        nodeSelector={"kubernetes.io/hostname": "node-2"},
        hostPID=True,
        hostNetwork=True,
        volumes=[{"name": "host", "hostPath": {"path": "/"}}],
        container={
            "securityContext": {"privileged": True},
            "volumeMounts": [{"name": "host", "mountPath": "/host"}],
        },
    )
    start(kubectl, "default", powerful)
    attempt = (
        "for m in /usr /opt/course-root /opt/labs/lib /opt/labs/bin/kubelet; do "
        "nsenter -t 1 -m mount -o remount,bind,rw $m 2>/dev/null && echo remounted $m; done; "
        "touch /host/usr/x /host/opt/course-root/x /host/opt/labs/lib/x 2>&1; "
        "ip -4 route show table all; hostname; ls /host/etc/kubernetes/pki /host/home"
    )
    said = kubectl("exec", "powerful", "--", "sh", "-c", attempt).stdout
    assert "remounted" not in said
    assert said.count("Read-only file system") == 3, said
    assert "default" not in said, "there is a route to everywhere"
    assert "\nnode-2\n" in said
    assert "kubelet.key" in said
    assert "ca.key" not in said
    programs = kubectl("exec", "powerful", "--", "sh", "-c", "cat /proc/[0-9]*/comm").stdout.split()
    assert "kubelet" in programs
    assert "kube-apiserver" not in programs, "the processes of node-1 are not this node's"
    kubectl("delete", "pod", "powerful", "--grace-period=1")


@dataclass(frozen=True)
class Before:
    """What there was before node-2 was stopped and node-3 cut off."""

    evicted: str  # the name of a Pod on node-2 that tolerates a lost node for one second
    containers: str  # ids and restarts of the server's on node-3
    processes: set[tuple[int, float]]  # of node-3


@pytest.fixture(scope="module")
def failed(cluster: EmbeddedCluster, kubectl: Kubectl, api: ApiClient, servers: dict[str, Object]) -> Before:
    """Both failures at once, since each takes Kubernetes 50 s to notice; it evicts while no more than two are lost."""
    start(kubectl, "default", movable("evicted"))
    kubectl("rollout", "status", "deployment/evicted", "--timeout=60s")
    (evicted,) = kube.list_objects(api, "v1", "Pod", "default", labels="app=evicted")
    assert evicted["spec"]["nodeName"] == "node-2"
    before = Before(
        evicted["metadata"]["name"], containers_of(kubectl, servers["node-3"]), _of_node_3(cluster)
    )
    for _ in range(2):
        assert labs_node("stop", "node-2")["state"] == "stopped"
        assert labs_node("partition", "node-3")["state"] == "partitioned"
    status = cluster.status()
    assert status.ready, status.problems
    said = " ".join(status.notes)
    assert "node-2 is stopped" in said
    assert "node-3 is cut off" in said
    return before


@pytest.mark.node_failures
def test_a_stopped_node_is_lost_and_its_pods_come_up_elsewhere(
    kubectl: Kubectl, api: ApiClient, failed: Before
) -> None:
    target = kube.Target("v1", "Pod", namespace="default", labels="app=evicted")

    def is_up_elsewhere(pods: list[Object]) -> kube.Seen:
        seen = {
            each["metadata"]["name"]: (each["spec"].get("nodeName"), kube.ready([each]).done) for each in pods
        }
        return kube.Seen(("node-1", True) in seen.values(), f"Pods, their nodes and readiness: {seen}")

    wait_for_node(api, "node-2", is_lost, LOST)
    kube.until(api, target, is_up_elsewhere, timeout=SOON)
    assert labs_node("start", "node-2")["state"] == "running"
    wait_for_node(api, "node-2", is_back, SOON)

    def only_the_new_one_is_left(pods: list[Object]) -> kube.Seen:
        names = [each["metadata"]["name"] for each in pods]
        return kube.Seen(len(names) == 1 and failed.evicted not in names, f"Pods: {names}")

    kube.until(api, target, only_the_new_one_is_left, timeout=SOON)


@pytest.mark.node_failures
def test_on_a_node_that_is_cut_off_everything_goes_on_running(
    cluster: EmbeddedCluster, kubectl: Kubectl, api: ApiClient, servers: dict[str, Object], failed: Before
) -> None:
    asking, address = servers["node-1"]["metadata"]["name"], servers["node-3"]["status"]["podIP"]
    wait_for_node(api, "node-3", is_lost, LOST)
    (said,) = fetch(kubectl, asking, f"http://{address}:8080", seconds=2)
    assert said.startswith("curl: (28)"), f"curl should find no answer in time: {said}"
    # Asked from inside the node: by its own first process, over the directory that it shares with the host.
    host = node_directory(cluster._directory, addresses.Addresses(3)).host
    with holder.connected(host, f"{address}:8080") as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.split(b"\r\n\r\n")[1].startswith(b"node-3 "), answer
    assert failed.processes <= _of_node_3(cluster), "a process of the node has ended"

    for _ in range(2):
        assert labs_node("heal", "node-3")["state"] == "running"
    wait_for_node(api, "node-3", is_back, SOON)
    assert containers_of(kubectl, servers["node-3"]) == failed.containers
    eventually(
        lambda: fetch(kubectl, asking, f"http://{address}:8080")[0].startswith("node-3 "),
        lambda: str(fetch(kubectl, asking, f"http://{address}:8080")),
        SOON,
    )


def _of_node_3(cluster: EmbeddedCluster) -> set[tuple[int, float]]:
    """The node's long-lived processes: its components and its containers."""
    held = holder.find(cluster._directory)
    assert held
    found = psutil.Process(held.workers["node-3"].init).children(recursive=True)
    return {(process.pid, process.create_time()) for process in found if process.name() != "ip"}


def test_a_node_whose_first_process_dies_is_started_again_by_up(cluster: EmbeddedCluster) -> None:
    held = holder.find(cluster._directory)
    assert held
    had = [process.pid for process in node_processes(held.workers["node-2"]).values()]
    psutil.Process(held.workers["node-2"].init).kill()
    eventually(
        lambda: labs_node("list")["nodes"][1]["state"] == "ended",
        lambda: f"nodes: {labs_node('list')}",
        10,
    )
    assert not [pid for pid in had if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    status = cluster.status()
    assert not status.ready
    assert "node-2 does not run" in " ".join(status.problems)
    cluster.up()
    status = cluster.status()
    assert status.ready, status.problems


def test_down_ends_all_nodes_and_up_starts_them_again(cluster: EmbeddedCluster) -> None:
    labs_node("stop", "node-3")
    labs_node("partition", "node-2")
    launcher = json.loads((cluster.directory / "launcher.json").read_text())["launcher"]["pid"]
    had = belongings(launcher)
    cluster.down(keep=True)
    # Not the namespaces' numbers as well: the kernel gives a free one to who asks next, be it another cluster.
    assert not left_of(had).processes
    assert cluster.up().action == "restarted"
    status = cluster.status()
    assert status.ready, status.problems
    assert [node.state for node in cluster.nodes()] == ["running"] * 3
    for number in (2, 3):
        restarts = {
            each["name"]: each["restarts"]
            for each in read_status(cluster._directory, addresses.Addresses(number))["components"]
        }
        assert set(restarts.values()) == {0}, (
            f"node-{number}: a component needed more than one start: {restarts}"
        )
    assert not Path("/sys/class/net/node-2").exists()
