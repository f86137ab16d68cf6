"""What the mesh tells of traffic, on a cluster: who called whom, by real Pods' certificates, each request once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready
from .test_mesh_traffic import PORTS, call, eventually, field, policy, service

Kubectl = Callable[..., Any]
SPACE, OUTSIDE = "mesh-telemetry", "mesh-telemetry-outside"
CONTROL = ("-n", "labs-system", "exec", "deploy/mesh-control", "--", "curl", "-sS", "--max-time", "10")
CALLS = 40


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    for name in (SPACE, OUTSIDE):
        kubectl("create", "namespace", name)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    echo = {"image": "labs.example/echo:1", "args": ["--port=8080", "--tcp=9090"]}
    put(
        kubectl,
        policy("PERMISSIVE"),
        service("server", "server", PORTS[0], PORTS[2]),
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": each}} for each in ("a", "b")),
        pod("server", container=echo),
        pod("a", container=echo, serviceAccountName="a"),
        pod("b", container=echo, serviceAccountName="b"),
        namespace=SPACE,
    )
    put(kubectl, pod("stranger", container=echo), namespace=OUTSIDE)
    ready(kubectl, "server", "a", "b", namespace=SPACE)
    ready(kubectl, "stranger", namespace=OUTSIDE)
    yield
    for name in (SPACE, OUTSIDE):
        kubectl("delete", "namespace", name)


def edges(kubectl: Kubectl) -> dict[tuple[str, str], dict[str, Any]]:
    """What the control plane says of the server's Service on its port of HTTP, and of bytes."""
    said = kubectl(*CONTROL, "http://127.0.0.1:15014/topology?seconds=300").stdout
    found = json.loads(said)["edges"]
    return {(each["from"], each["service"]): each for each in found if each["to"] == f"{SPACE}/default"}


def test_every_request_is_counted_once_by_who_called(kubectl: Kubectl) -> None:
    for who, count in (("a", CALLS), ("b", CALLS // 4)):
        said = call(kubectl, who, "http://server/some/path", f"--count={count}", namespace=SPACE)
        assert said.count("StatusCode=200") >= count, said
    said = call(kubectl, "stranger", f"http://server.{SPACE}/", namespace=OUTSIDE)
    assert field(said, "StatusCode") == "200", said
    said = call(kubectl, "a", "tcp://server:9090", namespace=SPACE)
    assert field(said, "Hostname") == "server", said
    web = f"{SPACE}/server/80"
    wanted = {
        (f"{SPACE}/a", web): ("requests", CALLS, True),
        (f"{SPACE}/b", web): ("requests", CALLS // 4, True),
        ("unknown", ""): ("requests", 1, False),
        (f"{SPACE}/a", f"{SPACE}/server/9090"): ("connections", 1, True),
    }
    eventually(lambda: edges(kubectl).keys() >= wanted.keys(), "all edges")
    # A report comes every second; what is counted twice would be so by then, in the same or the next.
    eventually(lambda: edges(kubectl)[f"{SPACE}/a", web]["requests"] >= CALLS, "all requests of one caller")
    found = edges(kubectl)
    assert {
        key: (what, found[key][what], found[key]["mtls"]) for key, (what, _, _) in wanted.items()
    } == wanted
    assert found[f"{SPACE}/a", web]["errors"] == 0
    assert found[f"{SPACE}/a", web]["p50_ms"] > 0


def test_prometheus_can_reach_the_same_counts_and_no_other_port_does(kubectl: Kubectl) -> None:
    """From any Pod, by the address and port that the control plane's Pod is annotated with."""
    ours = ("-n", "labs-system", "get", "pod", "-l", "mesh.labs.example/part=control", "-o")
    shown = json.loads(kubectl(*ours, "json").stdout)["items"]
    (found,) = [each for each in shown if "deletionTimestamp" not in each["metadata"]]
    notes = found["metadata"]["annotations"]
    address = f"{found['status']['podIP']}:{notes['prometheus.io/port']}"
    within = ("-n", OUTSIDE, "exec", "stranger", "-c", "main", "--", "curl", "-sS", "--max-time", "10")
    text = str(kubectl(*within, f"http://{address}{notes['prometheus.io/path']}").stdout)
    caller = f'source="{SPACE}/b",destination="{SPACE}/default",service="{SPACE}/server/80"'
    line = next(
        each for each in text.splitlines() if each.startswith("mesh_requests_total") and caller in each
    )
    assert 'code_class="2xx"' in line
    assert int(line.rpartition(" ")[2]) == CALLS // 4
    # The topology and the tap are on loopback alone.
    for path in ("topology", "tap?limit=1"):
        done = kubectl(*within, f"http://{found['status']['podIP']}:15014/{path}", check=False)
        assert done.returncode != 0, done.stdout


def test_what_goes_to_nobody_is_told_by_the_caller(kubectl: Kubectl) -> None:
    put(kubectl, service("nobody", "nobody"), namespace=SPACE)
    eventually(
        lambda: field(call(kubectl, "b", "http://nobody/", namespace=SPACE), "StatusCode") == "503", "a 503"
    )

    def told() -> list[dict[str, Any]]:
        said = kubectl(*CONTROL, "http://127.0.0.1:15014/topology?seconds=300").stdout
        return [each for each in json.loads(said)["edges"] if each["service"] == f"{SPACE}/nobody/80"]

    (edge,) = eventually(told, "the caller's report")
    assert (edge["from"], edge["mtls"]) == (f"{SPACE}/b", False)
    assert edge["errors"] == edge["requests"] > 0
