"""Into the mesh and out of it: a Gateway that strangers call, and an EgressPolicy; judged by what servers saw."""

from __future__ import annotations

import http.client
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from labsupport.cluster.interface import Cluster
from labsupport.patience import patient
from tests.conftest import LABS

from .conftest import Mesh
from .test_mesh_inject import get, pod, put, ready
from .test_mesh_traffic import address, call, eventually, field, policy, service, to

Kubectl = Callable[..., Any]
Object = dict[str, Any]
SPACE, AWAY = "mesh-edge", "mesh-away"
ECHO = {"image": "labs.example/echo:1"}
EDGE = "edge-labs-mesh"
EDGE_IDENTITY = f"URI=spiffe://labs.example/ns/{SPACE}/sa/{EDGE}"
DRAIN = 5.0  # seconds that connections have whose filter chain is gone (proxy/__main__.py)


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


def egress(mode: str, *allow: Object) -> Object:
    spec = {"mode": mode, **({"allow": list(allow)} if allow else {})}
    return {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "EgressPolicy",
        "metadata": {"name": "default"},
        "spec": spec,
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
        *(pod(name, container={**ECHO, "args": ["--port=8080"]}) for name in ("server", "other", "client")),
        pod(
            "bare",
            annotations={"mesh.labs.example/inject": "false"},
            container={**ECHO, "args": ["--port=8080"]},
        ),
        gateway(),
        route("www", to("other", matches=[by_header]), to("server"), hosts=("www.shop.example",)),
        route("wide", {"backendRefs": shared}, hosts=("*.shop.example",)),
        namespace=SPACE,
    )
    flags = ["--port=8080", "--tcp=9090"]
    headless = service("web", "web", {"name": "http", "port": 8080}, clusterIP="None")
    put(
        kubectl,
        headless,
        *(pod(name, container={**ECHO, "args": flags}) for name in ("web", "liar")),
        route("foreign", to("web", 8080), namespace=SPACE),
        namespace=AWAY,
    )
    ready(kubectl, "server", "other", "client", "bare", namespace=SPACE)
    ready(kubectl, "web", "liar", namespace=AWAY)
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


# Out of the mesh.


@pytest.fixture
def out(kubectl: Kubectl, space: None) -> Iterator[Callable[..., None]]:
    """Sets the namespace's EgressPolicy; it is gone after the test."""
    yield lambda mode, *allow: put(kubectl, egress(mode, *allow), namespace=SPACE)
    kubectl("-n", SPACE, "delete", "egresspolicy", "default", "--ignore-not-found")


def reaches(kubectl: Kubectl, target: str, who: str = "client") -> str:
    """Which server a Pod of the mesh's namespace reaches, "" for none."""
    return field(call(kubectl, who, target, namespace=SPACE), "Hostname")


def curl(kubectl: Kubectl, *words: str) -> tuple[str, str]:
    """The status that curl prints in the client's Pod, and the server that answered."""
    command = ["curl", "-s", "-m", "10", "-w", "\nstatus=%{http_code}", *words]
    said = kubectl("-n", SPACE, "exec", "client", "-c", "main", "--", *command, check=False).stdout
    return field(said, "status"), field(said, "Hostname")


def test_what_is_outside_is_refused_by_address_and_port(kubectl: Kubectl, out: Callable[..., None]) -> None:
    web, liar = address(kubectl, "web", AWAY), address(kubectl, "liar", AWAY)
    assert reaches(kubectl, f"http://{web}:8080/") == "web"
    out("Refuse")
    eventually(lambda: not reaches(kubectl, f"http://{web}:8080/"), "a refusal")
    assert reaches(kubectl, "http://server/") == "server"  # a Service of the cluster is not outside
    out("Refuse", {"cidrs": [f"{web}/32"], "ports": [8080]})
    eventually(lambda: reaches(kubectl, f"http://{web}:8080/") == "web", "what is allowed")
    assert not reaches(kubectl, f"tcp://{web}:9090")
    assert not reaches(kubectl, f"http://{liar}:8080/")


def test_a_name_is_looked_up_by_the_proxy_whatever_address_was_called(
    kubectl: Kubectl, out: Callable[..., None]
) -> None:
    web, liar = f"web.{AWAY}.svc.cluster.local", address(kubectl, "liar", AWAY)
    out("Refuse", {"hosts": [web], "ports": [8080]})
    eventually(lambda: curl(kubectl, f"http://{web}:8080/") == ("200", "web"), "what is allowed")
    assert curl(kubectl, f"http://{liar}:8080/") == ("403", "")
    assert curl(kubectl, "-H", f"Host: {web}:8080", f"http://{liar}:8080/") == ("200", "web")
    assert curl(kubectl, "-H", f"Host: {web}:9090", f"http://{liar}:8080/") == ("403", "")


# Answers anybody by TLS with a certificate that names it, and keeps a line on its standard output of the name (SNI)
# and the path that it was asked for.
TLS_SERVER = """
import http.server, ssl, subprocess, sys
name = sys.argv[1]
make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]
make += ["/tmp/key", "-out", "/tmp/chain", "-days", "2", "-subj", "/CN=x", "-addext", f"subjectAltName=DNS:{name}"]
subprocess.run(make, check=True, capture_output=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("SEEN", self.connection.named, self.path, flush=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"Hostname={name}\\n".encode())
    def log_message(self, *words): pass
def told(connection, name, context):
    connection.named = name
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/chain", "/tmp/key")
context.sni_callback = told
server = http.server.ThreadingHTTPServer(("", 8443), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@pytest.fixture
def secure(kubectl: Kubectl, space: None) -> list[str]:
    """Two names outside of the mesh that answer by TLS."""
    names = ["bank", "other-bank"]
    for name in names:
        full = f"{name}.{AWAY}.svc.cluster.local"
        command = ["python3", "-uc", TLS_SERVER, full]
        headless = service(name, name, {"name": "https", "port": 8443}, clusterIP="None")
        made = pod(name, container={"image": "labs.example/shell:1", "command": command})
        put(kubectl, headless, made, namespace=AWAY)
    ready(kubectl, *names, namespace=AWAY)
    return [f"{name}.{AWAY}.svc.cluster.local" for name in names]


def test_a_name_in_tls_is_allowed_and_others_are_not(
    kubectl: Kubectl, out: Callable[..., None], secure: list[str]
) -> None:
    bank, other = secure
    addresses = {name: address(kubectl, name.partition(".")[0], AWAY) for name in secure}

    def tls(name: str, at: str, path: str) -> tuple[str, str]:
        return curl(kubectl, "-k", "--resolve", f"{name}:8443:{at}", f"https://{name}:8443{path}")

    for name in secure:
        eventually(
            lambda name=name: tls(name, addresses[name], "/open") == ("200", name), "both, as nothing is said"
        )
    out("Refuse", {"hosts": [bank], "ports": [8443]})
    eventually(lambda: tls(other, addresses[other], "/refused") == ("000", ""), "a refusal")
    assert tls(bank, addresses[bank], "/allowed") == ("200", bank)
    # A name that is allowed leads to where it belongs, whatever address was called.
    assert tls(bank, addresses[other], "/false") == ("200", bank)
    # Without a name, or with one that is not allowed, it goes nowhere.
    assert curl(kubectl, "-k", f"https://{addresses[bank]}:8443/nameless") == ("000", "")
    assert tls(other, addresses[bank], "/refused") == ("000", "")

    def seen(who: str) -> list[str]:
        lines = kubectl("-n", AWAY, "logs", who.partition(".")[0]).stdout.splitlines()
        return [line.removeprefix("SEEN ") for line in lines if not line.endswith("/open")]

    assert seen(bank) == [f"{bank} /allowed", f"{bank} /false"]
    assert seen(other) == []


def test_open_connections_end_when_they_are_no_longer_allowed(
    kubectl: Kubectl, cluster: Cluster, out: Callable[..., None]
) -> None:
    web, liar = address(kubectl, "web", AWAY), address(kubectl, "liar", AWAY)
    allowed = [{"cidrs": [f"{each}/32"], "ports": [9090]} for each in (web, liar)]
    out("Refuse", *allowed)
    eventually(lambda: reaches(kubectl, f"tcp://{web}:9090") == "web", "what is allowed")
    seconds = int(patient(DRAIN + 25))
    # One byte from the shell at a time: a read that times out (above 128) means that the connection is open still.
    script = (
        f"exec 3<>/dev/tcp/{web}/9090 4<>/dev/tcp/{liar}/9090; echo open; "
        f"read -t {seconds} -u 3; [ $? -gt 128 ] && echo web stays || echo web ends; "
        "read -t 1 -u 4; [ $? -gt 128 ] && echo liar stays || echo liar ends"
    )
    command = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig), "-n", SPACE, "exec", "client"]
    command += ["-c", "main", "--", "bash", "-c", script]
    held = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert held.stdout is not None
        assert held.stdout.readline().strip() == "open"
        out("Refuse", allowed[1])
        began = time.monotonic()
        assert held.stdout.readline().strip() == "web ends"
        assert time.monotonic() - began < patient(DRAIN + 5)
        assert held.stdout.readline().strip() == "liar stays"
    finally:
        held.kill()
        held.wait()


def test_a_pod_without_a_proxy_is_not_kept_in(kubectl: Kubectl, out: Callable[..., None]) -> None:
    """Said in the README: the policy is kept by the Pod's own proxy. Who may create Pods may create them without."""
    web = address(kubectl, "web", AWAY)
    out("Refuse")
    eventually(lambda: not reaches(kubectl, f"http://{web}:8080/"), "a refusal")
    assert reaches(kubectl, f"http://{web}:8080/", who="bare") == "web"


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
