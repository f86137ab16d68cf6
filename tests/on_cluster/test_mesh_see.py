"""What goes through the mesh is seen: as data, in words, on the page, request by request."""

from __future__ import annotations

import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from labsupport import kube
from labsupport.cluster.interface import Cluster
from labsupport.draw.topology.data import Edge, gathered
from labsupport.mesh.admin import see
from labsupport.mesh.admin.forward import Forward
from tests.conftest import LABS

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready
from .test_mesh_traffic import call, eventually, field, service

Kubectl = Callable[..., Any]
SPACE = "mesh-see"


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    kubectl("create", "namespace", SPACE)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    echo = {"image": "labs.example/echo:1", "args": ["--port=8080"]}
    pods = [pod(name, container=echo) for name in ("web", "stock")]
    for each in pods:
        name = each["metadata"]["name"]
        kubectl("-n", SPACE, "create", "serviceaccount", name)
        each["spec"]["serviceAccountName"] = name
    put(kubectl, service("stock", "stock"), *pods, namespace=SPACE)
    ready(kubectl, "web", "stock", namespace=SPACE)
    yield
    kubectl("delete", "namespace", SPACE)


def test_requests_are_seen_as_they_end_and_then_in_the_picture(kubectl: Kubectl, cluster: Cluster) -> None:
    api = kube.connect(cluster.kubeconfig)
    sent = 0

    def ask(path: str) -> None:
        nonlocal sent
        assert field(call(kubectl, "web", f"http://stock{path}", namespace=SPACE), "StatusCode") == "200"
        sent += 1

    lines: list[dict[str, Any]] = []

    def follow() -> None:
        with closing(see.tap(api, {"from": f"{SPACE}/web", "path": "/seen", "limit": "2"})) as found:  # type: ignore[type-var]
            lines.extend(found)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    ask("/other")
    eventually(
        lambda: ask("/seen/1?x") or not thread.is_alive(), "the tap sees requests, and ends at its limit"
    )
    assert [(each["from"], each["to"], each["method"], each["path"], each["status"]) for each in lines] == [
        (f"{SPACE}/web", f"{SPACE}/stock", "GET", "/seen/1?x", 200)
    ] * 2

    def edge() -> Edge | None:
        found = gathered(see.topology(api, 300)).edges
        mine = [each for each in found if each.source == f"{SPACE}/web" and each.requests == sent]
        return mine[0] if mine else None

    seen = eventually(edge, f"{sent} requests are in the topology")
    assert (seen.target, seen.service, seen.mtls, seen.errors) == (
        f"{SPACE}/stock",
        f"{SPACE}/stock/80",
        True,
        0,
    )
    assert 0 < seen.p50_ms <= seen.p99_ms


def test_the_page_comes_from_the_control_plane(cluster: Cluster) -> None:
    with Forward(see.pages(kube.connect(cluster.kubeconfig))) as forward:
        threading.Thread(target=forward.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        address = f"http://127.0.0.1:{forward.server_port}"
        with urllib.request.urlopen(f"{address}/", timeout=30) as answer:
            assert b"<title>Mesh topology</title>" in answer.read()
        view = urllib.request.Request(f"{address}/view?seconds=300&find={SPACE}%2F&width=900")
        view.add_header("Authorization", f"Bearer {forward.token}")
        with urllib.request.urlopen(view, timeout=30) as answer:
            assert f'data-k="{SPACE}/web&gt;{SPACE}/stock"'.encode() in answer.read()
        forward.shutdown()


def test_the_command_says_it_in_words(cluster: Cluster) -> None:
    done = subprocess.run(
        [*LABS, "mesh", "topology", "--seconds", "300", "--name", cluster.name],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    caller = done.stdout.partition(f"{SPACE}/web  (workload, 1 of 1 ready)")[2]
    assert f"-> {SPACE}/stock" in caller.splitlines()[1]
    assert "mTLS" in caller.splitlines()[1]
