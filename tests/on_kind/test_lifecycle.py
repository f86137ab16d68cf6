"""Up, found, stopped, started, down; what is another's is left alone; nothing of ours stays."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from labsupport.cluster import doctor, get
from labsupport.cluster.interface import Cluster
from labsupport.cluster.kind import docker, node_image
from labsupport.errors import LabsError
from labsupport.paths import cache

Kubectl = Callable[..., Any]


def engine() -> docker.Engine:
    return docker.find()


def test_status_and_found(cluster: Cluster) -> None:
    status = cluster.status()
    assert status.ready, status.problems
    assert status.unofficial_build
    names = {component.name for component in status.components}
    assert {"etcd", "kube-apiserver", "kubelet", "kube-proxy", "containerd", "coredns"} <= names
    assert all(component.pss_mb for component in status.components), "root may read it"
    assert status.api.startswith("https://127.0.0.1:")
    assert cluster.up().action == "found"


def test_the_doctor_finds_nothing_that_forbids_it(cluster: Cluster) -> None:
    checks = {each.id: each for each in doctor.examine(cluster.name, "kind")}
    assert doctor.healthy(list(checks.values())), doctor.describe(list(checks.values()))
    assert checks["docker"].ok
    assert checks["name-taken"].ok, "our own containers do not take our name"


def test_the_kubeconfig_is_ours_alone(cluster: Cluster) -> None:
    assert cluster.kubeconfig.parent == cluster.directory
    assert cluster.kubeconfig.stat().st_mode & 0o777 == 0o600
    default = Path.home() / ".kube/config"
    assert not default.exists() or "labs-test" not in default.read_text()


def test_kube_proxy_writes_nftables(cluster: Cluster, kubectl: Kubectl) -> None:
    tables = engine().must("exec", "labs-test-control-plane", "nft", "list", "tables")
    assert "table ip kube-proxy" in tables
    rules = engine().must("exec", "labs-test-control-plane", "iptables-save")
    assert "KUBE-SVC" not in rules


def test_an_address_that_nobody_has_leads_nowhere(cluster: Cluster) -> None:
    """Without rules of our own both would follow the default route out of the machine."""
    for address in ("10.244.0.254", "10.244.200.1"):
        with pytest.raises(LabsError, match="No route to host"):
            engine().must("exec", "labs-test-control-plane", "ip", "route", "get", address)
    rules = engine().must("exec", "labs-test-control-plane", "iptables-save")
    for chain in ("FORWARD", "OUTPUT"):
        assert f"-A {chain} -d 10.96.0.0/16 -j REJECT" in rules


def test_a_url_leads_to_every_pod_and_outlives_one(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("-n", namespace, "create", "deployment", "web", "--image=labs.example/web:1", "--replicas=2")
    kubectl("-n", namespace, "expose", "deployment", "web", "--port=80", "--target-port=8080")
    kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    url = cluster.url("web", namespace)
    assert url.startswith("http://127.0.0.1:")
    assert cluster.url("web", namespace) == url

    def pod() -> str:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return str(json.load(answer)["pod"])

    seen = {pod() for _ in range(24)}
    assert len(seen) == 2
    kubectl("-n", namespace, "delete", "pod", seen.pop(), "--wait=true")
    kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=60s")
    assert pod()
    with pytest.raises(LabsError, match="no Service 'nothing'"):
        cluster.url("nothing", namespace)


def test_an_unknown_image_fails_at_once(kubectl: Kubectl, namespace: str) -> None:
    kubectl("-n", namespace, "run", "foreign", "--image=nginx:1.29")
    reason = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    kubectl("-n", namespace, "wait", "pod/foreign", f"--for={reason}=ErrImagePull", "--timeout=20s")


def test_memory_limits_are_enforced(kubectl: Kubectl, namespace: str) -> None:
    container = {
        "name": "main",
        "image": "labs.example/python:3.11",
        "command": ["python3", "-c", "bytearray(200 << 20)"],
        "resources": {"limits": {"memory": "64Mi"}},
    }
    spec = {"restartPolicy": "Never", "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "large"}, "spec": spec}
    kubectl("-n", namespace, "apply", "-f", "-", input=json.dumps(pod))
    reason = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    kubectl("-n", namespace, "wait", "pod/large", f"--for={reason}=OOMKilled", "--timeout=30s")


def test_what_is_anothers_is_refused_and_untouched(private_home: Path) -> None:
    image = node_image.ensure(cache()).reference
    run = ["run", "--detach", "--network=none", "--label", "io.x-k8s.kind.cluster=labs-other"]
    run += ["--label", "io.x-k8s.kind.role=control-plane", "--entrypoint", "sleep", image, "infinity"]
    container = engine().must(*run).strip()
    try:
        other = get("other", "kind")
        with pytest.raises(LabsError, match="did not make") as refused:
            other.up()
        assert "--name" in refused.value.fix
        (taken,) = [each for each in doctor.examine("other", "kind") if each.id == "name-taken"]
        assert not taken.ok
        other.down()
        running = engine().must("inspect", "--format", "{{.State.Running}}", container).strip()
        assert running == "true"
        assert not other.exists()
    finally:
        engine().must("rm", "--force", container)


def test_kept_data_and_nothing_left(private_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def things() -> list[str]:
        found = engine().must("ps", "--all", "--format", "{{.Names}}").split()
        found += engine().must("volume", "ls", "--quiet").split()
        return sorted(found + engine().must("network", "ls", "--format", "{{.Name}}").split())

    before = things()
    life = get("life", "kind")
    try:
        report = life.up()
        assert report.action == "created"
        with capfd.disabled():
            print(f"\nkind: up {report.seconds:.1f} s: {dict(report.phases)}")
        kubectl = [str(life.kubectl()), "--kubeconfig", str(life.kubeconfig)]
        subprocess.run([*kubectl, "create", "namespace", "kept"], check=True, capture_output=True)
        subprocess.run([*kubectl, "create", "service", "clusterip", "none", "--tcp=80"], check=True)
        life.url("none", "default")
        forward = next(iter(json.loads((life.directory / "forwards.json").read_text()).values()))["pid"]
        life.down(keep=True)
        assert not life.status().running
        report = life.up()
        assert report.action == "restarted"
        with capfd.disabled():
            print(f"kind: restart {report.seconds:.1f} s")
        subprocess.run([*kubectl, "get", "namespace", "kept"], check=True, capture_output=True)
    finally:
        life.down()
    assert things() == before
    assert not life.exists()
    assert not psutil.pid_exists(forward)
