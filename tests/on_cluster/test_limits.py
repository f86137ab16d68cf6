"""Limits of memory and CPU: enforced where the machine hands out control groups, and the node's condition says which.

Each test holds the cluster to what the condition claims, so on machines of one kind the other half is not tested.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from labsupport.cluster.embedded import delegation
from labsupport.cluster.embedded.backend import EmbeddedCluster
from labsupport.cluster.embedded.readiness import read_status

from .pods import pod, start

Kubectl = Callable[..., subprocess.CompletedProcess[str]]
LIMIT = 64 << 20
TWICE_THE_LIMIT = f"import time; held = b'x' * {2 * LIMIT}; print('held', flush=True); time.sleep(3600)"
MAX = "/sys/fs/cgroup/memory.max"


def limited(name: str, **spec: Any) -> dict[str, Any]:
    limits = {"memory": "64Mi", "cpu": "250m"}
    return pod(
        name,
        container={"resources": {"limits": limits, "requests": {"memory": "16Mi", "cpu": "10m"}}},
        **spec,
    )


@pytest.fixture(scope="module")
def enforced(kubectl: Kubectl) -> bool:
    """What the node's condition says."""
    node = json.loads(kubectl("get", "node", "node-1", "-o", "json").stdout)
    conditions = {each["type"]: each for each in node["status"]["conditions"]}
    return bool(conditions["ContainerLimitsEnforced"]["status"] == "True")


def test_the_condition_is_what_the_node_found(
    cluster: EmbeddedCluster, kubectl: Kubectl, enforced: bool
) -> None:
    assert ("memory" in read_status(cluster._directory)["limits"]) == enforced
    # Where the doctor sees a way, the node must have gone it.
    assert enforced == (not delegation.find("labs").why_not)


def test_a_container_over_its_limit_of_memory(kubectl: Kubectl, namespace: str, enforced: bool) -> None:
    hungry = limited("hungry", command=["python3", "-c", TWICE_THE_LIMIT], restartPolicy="Never")
    start(kubectl, namespace, hungry, wait=False)
    if enforced:
        ended = "jsonpath={.status.containerStatuses[0].state.terminated.reason}=OOMKilled"
        kubectl("-n", namespace, "wait", "pod/hungry", f"--for={ended}", "--timeout=60s", timeout=90)
        code = "jsonpath={.status.containerStatuses[0].state.terminated.exitCode}"
        assert kubectl("-n", namespace, "get", "pod", "hungry", "-o", code).stdout == "137"
    else:
        kubectl("-n", namespace, "wait", "pod/hungry", "--for=condition=Ready", "--timeout=60s", timeout=90)
        assert kubectl("-n", namespace, "logs", "hungry", "--follow=false").stdout in ("", "held\n")


def test_a_limit_can_be_changed_while_the_container_runs_or_the_change_is_refused(
    kubectl: Kubectl, namespace: str, enforced: bool
) -> None:
    start(kubectl, namespace, limited("resized"))
    limits = {"limits": {"memory": "96Mi", "cpu": "500m"}}
    change = json.dumps({"spec": {"containers": [{"name": "main", "resources": limits}]}})
    resize = ("-n", namespace, "patch", "pod", "resized", "--subresource=resize", "-p", change)
    if not enforced:
        refused = kubectl(*resize, check=False)
        assert "enforce no limits of memory and CPU" in refused.stderr, "kubelet ends when it is to do this"
        return

    def seen() -> dict[str, str]:
        files = ("memory.max", "cpu.max", "cgroup.procs")
        script = "; ".join(f"echo $(cat /sys/fs/cgroup/{file})" for file in files)
        lines = kubectl("-n", namespace, "exec", "resized", "--", "sh", "-c", script).stdout.splitlines()
        return dict(zip(files, lines, strict=True))

    before = seen()
    assert before["memory.max"] == str(LIMIT)
    assert before["cpu.max"] == "25000 100000"
    assert before["cgroup.procs"], "an exec is in the group as well"
    kubectl(*resize)
    allotted = "jsonpath={.status.containerStatuses[0].resources.limits.memory}=96Mi"
    kubectl("-n", namespace, "wait", "pod/resized", f"--for={allotted}", "--timeout=60s", timeout=90)
    after = seen()
    assert after["memory.max"] == str(LIMIT * 3 // 2)
    assert after["cpu.max"] == "50000 100000"


def test_a_container_cannot_write_its_own_limits(kubectl: Kubectl, namespace: str, enforced: bool) -> None:
    start(kubectl, namespace, limited("plain"))
    done = kubectl("-n", namespace, "exec", "plain", "--", "sh", "-c", f"echo max > {MAX}", check=False)
    assert done.returncode != 0
    if enforced:
        assert "Read-only file system" in done.stderr
