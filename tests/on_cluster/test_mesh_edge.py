"""Into the mesh: a Gateway that strangers call; judged by what servers saw."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from labsupport.cluster.interface import Cluster
from labsupport.patience import patient
from labsupport.shop.echo import rpc
from tests.conftest import LABS

from .conftest import Mesh
from .test_mesh_inject import get, pod, put, ready
from .test_mesh_traffic import eventually, field, policy, service, to

Kubectl = Callable[..., Any]
Object = dict[str, Any]
SPACE, AWAY = "mesh-edge", "mesh-edge-other"
ECHO = {"image": "labs.example/echo:1"}
EDGE = "edge-labs-mesh"
EDGE_IDENTITY = f"URI=spiffe://labs.example/ns/{SPACE}/sa/{EDGE}"


def gateway(**listener: Any) -> Object:
    listeners = [
        {"name": "shop", "port": 80, "protocol": "HTTP", "hostname": "*.shop.example", **listener},
        {"name": "any", "port": 80, "protocol": "HTTP"},
    ]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "edge"},
        "spec": {"gatewayClassName": "labs-mesh", "listeners": listeners},
    }


def route(name: str, *rules: Object, hosts: tuple[str, ...] = (), **parent: str) -> Object:
    spec = {"parentRefs": [{"name": "edge", **parent}], "rules": list(rules)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name},
        "spec": spec | ({"hostnames": list(hosts)} if hosts else {}),
    }


@dataclass(frozen=True)
class Answer:
    """What somebody outside of the cluster gets: the status, and what the echo application says that it was asked."""

    status: int
    said: str

    @property
    def server(self) -> str:
        """The name of the Pod that answered."""
        return field(self.said, "Hostname")


Ask = Callable[..., Answer]


@pytest.fixture(scope="module")
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    for name in (SPACE, AWAY):
        kubectl("create", "namespace", name)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    by_header = {"headers": [{"name": "x-version", "value": "2"}]}
    shared = [{"name": name, "port": 80, "weight": 1} for name in ("server", "other")]
    put(
        kubectl,
        policy("STRICT"),
        *(service(name, name) for name in ("server", "other")),
        service("calls", "server", {"name": "grpc", "port": 7070}),
        *(
            pod(name, container={**ECHO, "args": ["--port=8080", "--grpc=7070"]})
            for name in ("server", "other", "client")
        ),
        gateway(),
        route("www", to("other", matches=[by_header]), to("server"), hosts=("www.shop.example",)),
        route("wide", {"backendRefs": shared}, hosts=("*.shop.example",)),
        namespace=SPACE,
    )
    put(kubectl, route("foreign", to("web", 8080), namespace=SPACE), namespace=AWAY)
    ready(kubectl, "server", "other", "client", namespace=SPACE)
    kubectl("-n", SPACE, "wait", "gateway/edge", "--for=condition=Programmed", "--timeout=60s", timeout=70)
    yield
    kubectl("delete", "namespace", SPACE, AWAY, "--wait=false")


@pytest.fixture
def ask(space: None, cluster: Cluster) -> Ask:
    """Calls the Gateway from this machine, which is no part of the cluster."""
    place = urlsplit(cluster.url(EDGE, SPACE, 80)).netloc

    def ask(host: str, path: str = "/", **headers: str) -> Answer:
        client = http.client.HTTPConnection(place, timeout=patient(20))
        try:
            sent = {key.replace("_", "-"): value for key, value in headers.items()}
            client.request("GET", path, headers={"Host": host, **sent})
            answer = client.getresponse()
            return Answer(answer.status, answer.read().decode())
        finally:
            client.close()

    return ask


def curl(kubectl: Kubectl, *words: str) -> tuple[str, str]:
    """The status that curl prints in the client's Pod, and the server that answered."""
    command = ["curl", "-s", "-m", "10", "-w", "\nstatus=%{http_code}", *words]
    said = kubectl("-n", SPACE, "exec", "client", "-c", "main", "--", *command, check=False).stdout
    return field(said, "status"), field(said, "Hostname")


def test_a_strict_backend_is_reached_by_the_gateways_own_identity(ask: Ask) -> None:
    forged = f"URI=spiffe://labs.example/ns/{SPACE}/sa/admin"
    answer = ask("www.shop.example", x_forwarded_client_cert=forged, x_envoy_upstream_rq_timeout_ms="1")
    assert (answer.status, answer.server) == (200, "server")
    (said,) = [line for line in answer.said.splitlines() if "x-forwarded-client-cert" in line.lower()]
    assert EDGE_IDENTITY in said
    assert "sa/admin" not in said


def test_hosts_headers_and_weights_choose_the_backend(ask: Ask) -> None:
    assert ask("www.shop.example").server == "server"
    assert ask("WWW.shop.example.").server == "server"  # the same name, as DNS sees it
    assert ask("www.shop.example", x_version="2").server == "other"
    assert {ask("a.shop.example").server for _ in range(40)} == {"server", "other"}  # else 1 in 10 ** 12
    assert ask("shop.example").status == 404
    assert ask("elsewhere.example").status == 404


def test_a_changed_route_is_obeyed(kubectl: Kubectl, ask: Ask) -> None:
    put(kubectl, route("any", to("other"), sectionName="any"), namespace=SPACE)
    eventually(lambda: ask("elsewhere.example").server == "other", "the new route")
    kubectl("-n", SPACE, "delete", "httproute", "any")
    eventually(lambda: ask("elsewhere.example").status == 404, "no route any more")


def test_gateway_and_routes_say_how_they_are(kubectl: Kubectl, space: None) -> None:
    found = get(kubectl, "gateway", "edge", namespace=SPACE)["status"]
    cluster_ip = get(kubectl, "service", EDGE, namespace=SPACE)["spec"]["clusterIP"]
    assert found["addresses"] == [{"type": "IPAddress", "value": cluster_ip}]
    assert {each["name"]: each["attachedRoutes"] for each in found["listeners"]} == {"shop": 2, "any": 2}

    def accepted(name: str, space: str) -> Any:
        parents = (get(kubectl, "httproute", name, namespace=space).get("status") or {}).get("parents") or []
        said = [each for parent in parents for each in parent["conditions"] if each["type"] == "Accepted"]
        return [(each["status"], each["reason"]) for each in said]

    assert accepted("www", SPACE) == [("True", "Accepted")]
    eventually(lambda: accepted("foreign", AWAY) == [("False", "NotAllowedByListeners")], "a refusal")


def settled(look: Callable[[], Any]) -> Any:
    """What is seen once it has stayed the same for three seconds."""
    until = time.monotonic() + patient(40)
    last, since = look(), time.monotonic()
    while time.monotonic() - since < 3:
        assert time.monotonic() < until, f"never the same for long: {last}"
        time.sleep(0.5)
        if (now := look()) != last:
            last, since = now, time.monotonic()
    return last


def test_the_topology_shows_the_way_through_the_gateway(kubectl: Kubectl, ask: Ask) -> None:
    edge, server = f"{SPACE}/{EDGE}", f"{SPACE}/default"

    def edges() -> dict[tuple[str, str, str], int]:
        command = ["curl", "-sS", "--max-time", "10", "http://127.0.0.1:15014/topology?seconds=300"]
        said = json.loads(kubectl("-n", "labs-system", "exec", "deploy/mesh-control", "--", *command).stdout)
        kinds = {each["id"]: each["kind"] for each in said["nodes"]}
        assert (kinds[edge], kinds.get("outside", "outside")) == ("gateway", "outside")
        return {(each["from"], each["to"], each["service"]): each["requests"] for each in said["edges"]}

    ways = [
        ("outside", edge, ""),
        (edge, server, f"{SPACE}/server/80"),
        (server, edge, f"{SPACE}/{EDGE}/80"),
    ]
    before = settled(edges)  # what the tests before this one asked is told within two seconds or so
    for _ in range(5):
        assert ask("www.shop.example").server == "server"
    for _ in range(3):  # a Pod of the mesh: its own proxy tells, by its identity
        assert curl(kubectl, "-H", "Host: www.shop.example", f"http://{EDGE}/") == ("200", "server")
    seen: list[int] = []

    def more() -> bool:
        now = edges()
        seen[:] = [now.get(way, 0) - before.get(way, 0) for way in ways]
        return seen == [5, 8, 3]

    try:
        eventually(more, f"5, 8 and 3 more on {ways}")
    finally:
        print(f"more on these ways, when last looked at: {seen}")
    assert ("unknown", edge, "") not in edges()


def test_labs_tells_how_to_call_it(cluster: Cluster, space: None) -> None:
    command = [*LABS, "mesh", "gateways", "-n", SPACE, "--name", cluster.name]
    said = subprocess.run(command, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"calls as  spiffe://labs.example/ns/{SPACE}/sa/{EDGE}" in said.stdout
    assert f"labs url {EDGE} -n {SPACE} --port 80" in said.stdout


@pytest.mark.parametrize(
    "words", [("serviceaccount", "admin"), ("deployment", "x", "--image=labs.example/shell:1")]
)
def test_the_control_plane_can_make_nothing_but_what_gateways_need(
    kubectl: Kubectl, space: None, words: tuple[str, ...]
) -> None:
    who = "--as=system:serviceaccount:labs-system:mesh-control"
    done = kubectl("-n", SPACE, "create", *words, who, check=False)
    assert done.returncode != 0
    assert "nothing but what belongs to a Gateway" in done.stderr


def listener_says(kubectl: Kubectl, name: str) -> dict[str, tuple[str, str]]:
    found = (get(kubectl, "gateway", "edge", namespace=SPACE).get("status") or {}).get("listeners") or []
    said = [each for listener in found if listener["name"] == name for each in listener["conditions"]]
    return {each["type"]: (each["status"], each["reason"]) for each in said}


SELF_SIGNED = (
    "cd /tmp && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=shop "
    "-addext subjectAltName=DNS:tls.shop.example -keyout key -out chain 2>/dev/null && cat "
)


def test_https_is_served_by_a_secret_that_was_opened_to_the_mesh(
    kubectl: Kubectl, cluster: Cluster, ask: Ask, tmp_path: Path
) -> None:
    here = ("-n", SPACE)
    made = gateway()
    tls = {"certificateRefs": [{"name": "edge-tls"}]}
    https = {"name": "tls", "port": 443, "protocol": "HTTPS", "hostname": "tls.shop.example", "tls": tls}
    made["spec"]["listeners"].append(https)
    # By its name, which is more exact than the name of the route that goes to both: else that one has it (Gateway API).
    named = route("tls", to("server"), hosts=("tls.shop.example",), sectionName="tls")
    put(kubectl, made, named, namespace=SPACE)
    said = kubectl(*here, "exec", "client", "-c", "main", "--", "sh", "-c", f"{SELF_SIGNED} chain key").stdout
    chain, key = tmp_path / "chain", tmp_path / "key"
    end = said.index("-----BEGIN PRIVATE KEY")
    chain.write_text(said[:end])
    key.write_text(said[end:])
    kubectl(*here, "create", "secret", "tls", "edge-tls", f"--cert={chain}", f"--key={key}")
    lacking = ("False", "InvalidCertificateRef")
    eventually(
        lambda: listener_says(kubectl, "tls").get("ResolvedRefs") == lacking, "a closed Secret to be told"
    )
    assert ask("www.shop.example").server == "server"  # the others go on
    command = [*LABS, "mesh", "gateways", "-n", SPACE, "--name", cluster.name]
    told = subprocess.run(command, capture_output=True, text=True).stdout
    assert "create role mesh-edge-tls --verb=get" in told, told
    words = ("--verb=get", "--resource=secrets", "--resource-name=edge-tls")
    kubectl(*here, "create", "role", "mesh-edge-tls", *words)
    account = "--serviceaccount=labs-system:mesh-control"
    kubectl(*here, "create", "rolebinding", "mesh-edge-tls", "--role=mesh-edge-tls", account)
    done = ("True", "Programmed")
    eventually(lambda: listener_says(kubectl, "tls").get("Programmed") == done, "the listener to be served")
    place = urlsplit(cluster.url(EDGE, SPACE, 443)).netloc.split(":")
    context = ssl.create_default_context(cafile=str(chain))

    def secure(name: str) -> http.client.HTTPResponse:
        raw = socket.create_connection((place[0], int(place[1])), timeout=patient(20))
        client = http.client.HTTPConnection(name)
        client.sock = context.wrap_socket(raw, server_hostname=name)
        client.request("GET", "/", headers={"Host": "tls.shop.example"})
        return client.getresponse()

    text = secure("tls.shop.example").read().decode()
    assert field(text, "Hostname") == "server"
    assert EDGE_IDENTITY in text
    assert "x-forwarded-proto:https" in text.lower().replace(" ", "")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        secure("www.shop.example")
    assert ask("tls.shop.example").server != ""  # by HTTP it is the listener for *.shop.example


def test_a_grpc_route_at_the_gateway(kubectl: Kubectl, cluster: Cluster, ask: Ask) -> None:
    rule = {
        "matches": [{"method": {"service": rpc.SERVICE, "method": rpc.METHOD}}],
        "backendRefs": [{"name": "calls", "port": 7070}],
    }
    made = route("grpc", rule, hosts=("grpc.shop.example",))
    put(kubectl, {**made, "kind": "GRPCRoute"}, namespace=SPACE)
    place = urlsplit(cluster.url(EDGE, SPACE, 80)).netloc
    options = (("grpc.default_authority", "grpc.shop.example"),)
    with grpc.insecure_channel(place, options=options) as channel:

        def answer(method: str) -> bytes:
            try:
                found: bytes = channel.unary_unary(f"/{rpc.SERVICE}/{method}")(b"", timeout=patient(10))
            except grpc.RpcError as error:
                return str(error.code().name).encode()
            return found

        eventually(lambda: b"Hostname=server" in answer(rpc.METHOD), "the GRPCRoute to hold")
        assert EDGE_IDENTITY.encode() in answer(rpc.METHOD)
        # What no rule matches goes on to the HTTPRoutes for *.shop.example; their Services speak no gRPC.
        assert b"Hostname" not in answer("Another")


def test_what_was_made_is_repaired(kubectl: Kubectl, ask: Ask) -> None:
    def image() -> str:
        found = get(kubectl, "deployment", EDGE, namespace=SPACE)
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def uid(kind: str) -> str:
        return str(
            kubectl(
                "-n", SPACE, "get", kind, EDGE, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}"
            ).stdout
        )

    ours = image()
    kubectl("-n", SPACE, "set", "image", f"deployment/{EDGE}", "*=labs.example/shell:1")
    eventually(lambda: image() == ours, "the proxy's image again")
    for kind in ("service", "deployment"):
        before = uid(kind)
        kubectl("-n", SPACE, "delete", kind, EDGE, "--wait=false")
        eventually(lambda kind=kind, before=before: uid(kind) not in ("", before), f"another {kind}")
    kubectl("-n", SPACE, "rollout", "status", f"deployment/{EDGE}", "--timeout=60s", timeout=70)


def test_what_was_made_goes_with_the_gateway(kubectl: Kubectl, space: None) -> None:
    kubectl("-n", SPACE, "delete", "gateway", "edge")
    for kind in ("deployment", "service", "serviceaccount"):
        kubectl("-n", SPACE, "wait", f"{kind}/{EDGE}", "--for=delete", "--timeout=60s", timeout=70)
