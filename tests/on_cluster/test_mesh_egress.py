"""Out of the mesh: what an EgressPolicy allows, refuses and ends; judged by what servers saw."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster
from labsupport.patience import patient

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready
from .test_mesh_traffic import address, call, eventually, field, service

Kubectl = Callable[..., Any]
Object = dict[str, Any]
SPACE, AWAY = "mesh-egress", "mesh-away"
ECHO = {"image": "labs.example/echo:1", "args": ["--port=8080", "--tcp=9090"]}
DRAIN = 5.0  # seconds that connections have whose filter chain is gone (proxy/__main__.py)


def egress(mode: str, *allow: Object) -> Object:
    spec = {"mode": mode, **({"allow": list(allow)} if allow else {})}
    return {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "EgressPolicy",
        "metadata": {"name": "default"},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    for name in (SPACE, AWAY):
        kubectl("create", "namespace", name)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    bare = pod("bare", annotations={"mesh.labs.example/inject": "false"}, container=ECHO)
    inside = (pod(name, container=ECHO) for name in ("server", "client"))
    put(kubectl, service("server", "server"), *inside, bare, namespace=SPACE)
    headless = service("web", "web", {"name": "http", "port": 8080}, clusterIP="None")
    put(kubectl, headless, *(pod(name, container=ECHO) for name in ("web", "liar")), namespace=AWAY)
    ready(kubectl, "server", "client", "bare", namespace=SPACE)
    ready(kubectl, "web", "liar", namespace=AWAY)
    yield
    kubectl("delete", "namespace", SPACE, AWAY, "--wait=false")


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
