from __future__ import annotations

import pytest

from labsupport.cluster.embedded.runtime import containers, sandboxes
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri
from labsupport.cluster.embedded.runtime.faults import Fault
from labsupport.cluster.embedded.runtime.store import Container, Sandbox

CONTAINER = Container(
    "abc123",
    "s1",
    cri.ContainerConfig(labels={"app": "web"}),
    "sha256:1",
    "i",
    1,
    state=cri.CONTAINER_RUNNING,
)
SANDBOX = Sandbox("def456", cri.PodSandboxConfig(labels={"app": "web"}), 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (cri.ContainerFilter(), True),
        (cri.ContainerFilter(id="abc"), True),
        (cri.ContainerFilter(id="abd"), False),
        (cri.ContainerFilter(pod_sandbox_id="s1"), True),
        (cri.ContainerFilter(pod_sandbox_id="s"), False),
        (cri.ContainerFilter(state=cri.ContainerStateValue(state=cri.CONTAINER_RUNNING)), True),
        (cri.ContainerFilter(state=cri.ContainerStateValue(state=cri.CONTAINER_CREATED)), False),
        (cri.ContainerFilter(label_selector={"app": "web"}), True),
        (cri.ContainerFilter(label_selector={"app": "web", "x": "y"}), False),
    ],
)
def test_containers(wanted: cri.ContainerFilter, expected: bool) -> None:
    assert containers.matches(CONTAINER, wanted) is expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (cri.PodSandboxFilter(id="def"), True),
        (cri.PodSandboxFilter(id="x"), False),
        (cri.PodSandboxFilter(state=cri.PodSandboxStateValue(state=cri.SANDBOX_READY)), True),
        (cri.PodSandboxFilter(state=cri.PodSandboxStateValue(state=cri.SANDBOX_NOTREADY)), False),
        (cri.PodSandboxFilter(label_selector={"app": "db"}), False),
    ],
)
def test_sandboxes(wanted: cri.PodSandboxFilter, expected: bool) -> None:
    assert sandboxes.matches(SANDBOX, wanted) is expected


def test_user_namespaced_pods_are_refused() -> None:
    config = cri.PodSandboxConfig()
    config.linux.security_context.namespace_options.userns_options.mode = cri.POD
    with pytest.raises(Fault, match="hostUsers"):
        sandboxes.refuse_impossible(Sandbox("s", config, 1))
