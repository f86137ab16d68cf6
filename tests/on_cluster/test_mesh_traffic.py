"""What goes through the mesh, and what does not, under strict mutual TLS: each protocol, each way to name a Pod."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster
from tests.conftest import LABS

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready

Kubectl = Callable[..., Any]
Object = dict[str, Any]
SPACE, OUTSIDE = "mesh-traffic", "mesh-outside"
DEADLINE = 20.0  # seconds for a change to be obeyed on a busy machine
PORTS = (
    {"name": "http", "port": 80, "targetPort": 8080},
    {"name": "grpc", "port": 7070, "targetPort": 7070},
    {"name": "tcp", "port": 9090, "targetPort": 9090},
    {"name": "first", "port": 9091, "targetPort": 9091, "appProtocol": "tcp"},
    {
        "name": "silent",
        "port": 9092,
        "targetPort": 9092,
    },  # says nothing of its protocol, and its server speaks first
)
FLAGS = [
    "--port=8080",
    "--grpc=7070",
    "--tcp=9090",
    "--tcp=9091",
    "--tcp=9092",
    "--server-first=9091",
    "--server-first=9092",
]


def policy(mode: str, ports: list[Object] | None = None) -> Object:
    spec: Object = {"mode": mode, **({"ports": ports} if ports else {})}
    metadata = {"name": "default"}
    return {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "PeerAuthentication",
        "metadata": metadata,
        "spec": spec,
    }


def service(name: str, app: str, *ports: Object, **spec: Any) -> Object:
    ports = ports or PORTS[:1]
    body = {"selector": {"app": app}, "ports": list(ports), **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": body}


def route(name: str, *rules: Object, parent: str = "server", **parts: Any) -> Object:
    parents = [{"group": "", "kind": "Service", "name": parent, **parts}]
    spec = {"parentRefs": parents, "rules": list(rules)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    for name in (SPACE, OUTSIDE):
        kubectl("create", "namespace", name)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    echo = {"image": "labs.example/echo:1"}
    put(
        kubectl,
        policy("STRICT"),
        service("server", "server", *PORTS),
        service("headless", "server", clusterIP="None"),
        service("other", "other"),
        pod("server", container={**echo, "args": FLAGS}),
        pod("other", container={**echo, "args": ["--port=8080"]}),
        pod("client", container={**echo, "args": ["--port=8080"]}),
        namespace=SPACE,
    )
    put(kubectl, pod("stranger", container={**echo, "args": ["--port=8080"]}), namespace=OUTSIDE)
    ready(kubectl, "server", "other", "client", namespace=SPACE)
    ready(kubectl, "stranger", namespace=OUTSIDE)
    yield
    for name in (SPACE, OUTSIDE):
        kubectl("delete", "namespace", name)


def call(kubectl: Kubectl, who: str, *words: str, namespace: str = SPACE) -> str:
    """What the echo application's client prints."""
    done = kubectl(
        "-n", namespace, "exec", who, "-c", "main", "--", "client", *words, check=False, timeout=40
    )
    return str(done.stdout)


def field(said: str, name: str) -> str:
    return next((line.partition(f"{name}=")[2] for line in said.splitlines() if f"{name}=" in line), "")


def eventually(check: Callable[[], Any], what: str) -> Any:
    """A change reaches proxies in milliseconds; nothing tells a client when."""
    until = time.monotonic() + DEADLINE
    while not (found := check()):
        assert time.monotonic() < until, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.1)
    return found


def address(kubectl: Kubectl, name: str, namespace: str = SPACE) -> str:
    return str(kubectl("-n", namespace, "get", "pod", name, "-o", "jsonpath={.status.podIP}").stdout)


def caller(said: str) -> str:
    """Who the server was told to be called by."""
    return next((line for line in said.splitlines() if "X-Forwarded-Client-Cert" in line.title()), "")


def test_http_carries_the_callers_identity(kubectl: Kubectl) -> None:
    said = call(kubectl, "client", "http://server/some/path")
    assert field(said, "StatusCode") == "200", said
    assert f"URI=spiffe://labs.example/ns/{SPACE}/sa/default" in caller(said)


def test_grpc_is_balanced_and_encrypted(kubectl: Kubectl) -> None:
    said = call(kubectl, "client", "grpc://server:7070")
    assert field(said, "StatusCode") == "200", said


# Not 9092: the echo client closes its side as soon as it has sent its line, and Envoy, while it still looks at the
# first bytes of a port that says nothing, takes that for the connection's end (README of the mesh, "Limits").
@pytest.mark.parametrize("port", [9090, 9091])
def test_bytes_pass_whoever_speaks_first(kubectl: Kubectl, port: int) -> None:
    said = call(kubectl, "client", f"tcp://server:{port}")
    assert field(said, "Hostname") == "server", said


def test_a_server_that_speaks_first_is_waited_for_only_where_its_port_says_nothing(kubectl: Kubectl) -> None:
    def milliseconds(port: int) -> int:
        """Until the first byte for a client that says nothing itself."""
        read = f"exec 3<>/dev/tcp/server/{port}; head -c 1 <&3 >/dev/null"
        script = f"t=$(date +%s%N); {read}; echo $(( ($(date +%s%N) - t) / 1000000 ))"
        command = ["exec", "client", "-c", "main", "--", "bash", "-c", script]
        return int(kubectl("-n", SPACE, *command, timeout=30).stdout)

    quick, slow = min(milliseconds(9091) for _ in range(3)), milliseconds(9092)
    assert slow - quick > 700, f"{quick} ms where it says tcp, {slow} ms where it says nothing"


@pytest.mark.parametrize("how", ["address", "headless"])
def test_a_pod_is_reached_by_its_own_address(kubectl: Kubectl, how: str) -> None:
    host = address(kubectl, "server") if how == "address" else "headless"
    said = call(kubectl, "client", f"http://{host}:8080/")
    assert field(said, "StatusCode") == "200", said
    assert f"URI=spiffe://labs.example/ns/{SPACE}/sa/default" in caller(said)


def test_a_pod_calls_itself_through_its_service(kubectl: Kubectl) -> None:
    # Not by the short name alone, which is the Pod's own in its /etc/hosts.
    said = call(kubectl, "server", f"http://server.{SPACE}/")
    assert field(said, "Hostname") == "server", said
    assert "URI=spiffe" in caller(said)


def test_what_is_outside_of_the_mesh_is_reached_as_it_is(kubectl: Kubectl) -> None:
    said = call(kubectl, "client", f"http://{address(kubectl, 'stranger', OUTSIDE)}:8080/")
    assert field(said, "StatusCode") == "200", said


@pytest.mark.parametrize(
    "target", ["http://server.mesh-traffic/", "http://{address}:8080/", "tcp://server.mesh-traffic:9090"]
)
def test_plaintext_from_outside_is_refused(kubectl: Kubectl, target: str) -> None:
    said = call(kubectl, "stranger", target.format(address=address(kubectl, "server")), namespace=OUTSIDE)
    assert not field(said, "StatusCode")
    assert not field(said, "Hostname"), said


def test_a_port_may_be_open_to_all(kubectl: Kubectl) -> None:
    put(kubectl, policy("STRICT", [{"port": 8080, "mode": "PERMISSIVE"}]), namespace=SPACE)
    try:
        here = f"http://server.{SPACE}/"
        said = eventually(
            lambda: call(kubectl, "stranger", here, namespace=OUTSIDE), "an answer in plaintext"
        )
        assert field(said, "StatusCode") == "200", said
        assert not caller(said)
        bytes_ = call(kubectl, "stranger", f"tcp://server.{SPACE}:9090", namespace=OUTSIDE)
        assert not field(bytes_, "Hostname")
    finally:
        put(kubectl, policy("STRICT"), namespace=SPACE)
    eventually(lambda: not call(kubectl, "stranger", here, namespace=OUTSIDE), "no answer in plaintext")


def conditions(kubectl: Kubectl, name: str) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition of a route, once they are of its present text."""
    found = json.loads(kubectl("-n", SPACE, "get", "httproute", name, "-o", "json").stdout)
    parents = (found.get("status") or {}).get("parents") or []
    said = [each for parent in parents for each in parent["conditions"]]
    if any(each["observedGeneration"] != found["metadata"]["generation"] for each in said):
        return {}
    return {each["type"]: (each["status"], each["reason"]) for each in said}


def to(name: str, port: int = 80, **rule: Any) -> Object:
    return {"backendRefs": [{"name": name, "port": port}], **rule}


BAD_PATH = {"path": {"type": "RegularExpression", "value": "("}}


@pytest.mark.parametrize(
    ("rule", "parts", "condition", "reason"),
    [
        (to("nothing"), {}, "ResolvedRefs", "BackendNotFound"),
        (to("other", 81), {}, "ResolvedRefs", "BackendNotFound"),
        (to("server", 9090), {}, "ResolvedRefs", "UnsupportedProtocol"),
        (to("other"), {"parent": "nothing"}, "Accepted", "NoMatchingParent"),
        (to("other"), {"port": 81}, "Accepted", "NoMatchingParent"),
        (to("other", matches=[BAD_PATH]), {}, "Accepted", "UnsupportedValue"),
    ],
)  # fmt: skip
def test_a_route_says_what_is_wrong_with_it(
    kubectl: Kubectl, cluster: Cluster, rule: Object, parts: Object, condition: str, reason: str
) -> None:
    put(kubectl, route("bad", rule, **parts), namespace=SPACE)
    try:
        wanted = ("False", reason)
        eventually(lambda: conditions(kubectl, "bad").get(condition) == wanted, f"{condition} {wanted}")
        command = [*LABS, "mesh", "routes", "-n", SPACE, "--name", cluster.name]
        said = subprocess.run(command, capture_output=True, text=True)
        assert said.returncode == 1
        assert f"not {condition} ({reason})" in said.stdout
    finally:
        kubectl("-n", SPACE, "delete", "httproute", "bad")


def test_one_bad_rule_takes_no_other_with_it(kubectl: Kubectl) -> None:
    missing = to("nothing", matches=[{"path": {"type": "PathPrefix", "value": "/nothing"}}])
    put(kubectl, route("mixed", missing, to("other")), namespace=SPACE)
    try:
        eventually(
            lambda: field(call(kubectl, "client", "http://server/"), "Hostname") == "other", "the good rule"
        )
        assert field(call(kubectl, "client", "http://server/nothing"), "StatusCode") == "500"
        assert field(call(kubectl, "client", "http://other/"), "StatusCode") == "200"
    finally:
        kubectl("-n", SPACE, "delete", "httproute", "mixed")
    eventually(
        lambda: field(call(kubectl, "client", "http://server/"), "Hostname") == "server", "no route any more"
    )


def test_without_its_proxy_nothing_goes_out_or_in(kubectl: Kubectl) -> None:
    echo = {"image": "labs.example/echo:1", "args": ["--port=8080"]}
    put(kubectl, pod("lonely", container=echo), namespace=SPACE)
    ready(kubectl, "lonely", namespace=SPACE)
    here, outside = address(kubectl, "lonely"), address(kubectl, "stranger", OUTSIDE)
    out = f"http://{outside}:8080/"
    assert field(call(kubectl, "lonely", out), "StatusCode") == "200"
    # Ended again and again, so that it is away while it is tried: kubelet waits longer each time.
    kill = ["sh", "-c", "kill -9 $(pgrep -x envoy)"]
    for _ in range(2):
        kubectl("-n", SPACE, "exec", "lonely", "-c", "mesh-proxy", "--", *kill, check=False)
        eventually(lambda: not call(kubectl, "lonely", out), "no way out")
        assert not call(kubectl, "stranger", f"http://{here}:8080/", namespace=OUTSIDE)
        eventually(lambda: call(kubectl, "lonely", out), "the proxy is back")
