"""What policies do not end, and what no proxy sees: open streams, datagrams, init containers; by what servers saw."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready
from .test_mesh_traffic import address, eventually, service

Kubectl = Callable[..., Any]
SPACE = "mesh-unseen"
# Answers gRPC and UDP with what it got, and keeps a line of each on its standard output.
STREAMS = """
import concurrent.futures, grpc, socket, threading
def ask(request, context):
    print("SEEN", "ask", request.decode(), flush=True)
    return request
def talk(requests, context):
    for request in requests:
        print("SEEN", "talk", request.decode(), flush=True)
        yield request
def datagrams():
    here = socket.socket(type=socket.SOCK_DGRAM)
    here.bind(("", 5353))
    while True:
        text, whom = here.recvfrom(1500)
        print("SEEN", "datagram", text.decode(), flush=True)
        here.sendto(text, whom)
threading.Thread(target=datagrams, daemon=True).start()
server = grpc.server(concurrent.futures.ThreadPoolExecutor(9))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Server", {
    "Ask": grpc.unary_unary_rpc_method_handler(ask), "Talk": grpc.stream_stream_rpc_method_handler(talk)}),))
server.add_insecure_port("0.0.0.0:7070")
server.start()
server.wait_for_termination()
"""
# One HTTP/2 connection with a stream that stays open, and a new stream every 50 ms: until some have been refused and
# the open one was used after that. Prints what came of each, as it goes.
OPEN = """
import grpc, os, queue, time
channel = grpc.insecure_channel("target:7070")
grpc.channel_ready_future(channel).result(20)
def connections():
    paths = (f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd"))
    found = (os.readlink(each) for each in paths if os.path.islink(each))
    return sorted(each for each in found if each.startswith("socket:"))
said = queue.Queue()
ask, talk = channel.unary_unary("/Server/Ask"), channel.stream_stream("/Server/Talk")
stream = talk(text.encode() for text in iter(said.get, None))
said.put("before")
print("talk", next(stream).decode(), flush=True)
own, refused = connections(), 0
while refused < 5:
    try:
        print("ask", ask(f"new-{refused}".encode(), timeout=5).decode(), flush=True)
        assert not refused, "an old answer after a new one"
    except grpc.RpcError as error:
        print("ask", error.code().name, flush=True)
        refused += 1
    time.sleep(0.05)
said.put("after")
print("talk", next(stream).decode(), flush=True)
print("connection", "kept" if connections() == own else "another", flush=True)
os._exit(0)
"""
DATAGRAM = """
import socket, sys
here = socket.socket(type=socket.SOCK_DGRAM)
here.settimeout(5)
here.sendto(sys.argv[2].encode(), (sys.argv[1], 5353))
print(here.recv(1500).decode())
"""
PYTHON, SHELL = {"image": "labs.example/python:3.11"}, {"image": "labs.example/shell:1"}
ECHO = {"image": "labs.example/echo:1", "args": ["--port=8080"]}
SLEEPS = {**PYTHON, "command": ["sleep", "infinity"]}


def program(text: str, *words: str) -> list[str]:
    return ["python3", "-uc", text, *words]


def made(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    api = {"apiVersion": "mesh.labs.example/v1alpha1", "kind": kind}
    return {**api, "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def target(kubectl: Kubectl, mesh: Mesh) -> Iterator[str]:
    """The address of a Pod that answers gRPC and UDP, under strict mutual TLS; and callers in the mesh and outside."""
    kubectl("create", "namespace", SPACE)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    kubectl("-n", SPACE, "create", "serviceaccount", "early")
    out = {"mesh.labs.example/inject": "false"}
    put(
        kubectl,
        made("PeerAuthentication", "default", mode="STRICT"),
        service("target", "target", {"name": "grpc", "port": 7070, "targetPort": 7070}),
        pod("target", container={**PYTHON, "command": program(STREAMS)}),
        pod("caller", container=SLEEPS),
        service("echo", "echo"),
        pod("echo", container=ECHO),
        pod("stranger", annotations=out, container=ECHO),
        namespace=SPACE,
    )
    ready(kubectl, "target", "caller", "echo", "stranger", namespace=SPACE)
    yield address(kubectl, "target", SPACE)
    kubectl("delete", "namespace", SPACE, "--wait=false")


def seen(kubectl: Kubectl, who: str, *words: str) -> str:
    """The lines that a server has written of what it got."""
    return str(kubectl("-n", SPACE, "logs", who, *words).stdout)


def test_new_streams_are_refused_on_a_connection_that_stays_and_open_ones_go_on(
    kubectl: Kubectl, cluster: Cluster, target: str
) -> None:
    command = [str(cluster.kubectl()), "--kubeconfig", str(cluster.kubeconfig), "-n", SPACE, "exec", "caller"]
    command += ["-c", "main", "--", "timeout", "60", *program(OPEN)]
    asking = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert asking.stdout is not None
        assert [asking.stdout.readline().strip() for _ in range(2)] == ["talk before", "ask new-0"]
        put(kubectl, made("AuthorizationPolicy", "nobody", action="Deny", rules=[{}]), namespace=SPACE)
        said, _ = asking.communicate(timeout=70)
    finally:
        asking.kill()
        asking.wait()
        kubectl("-n", SPACE, "delete", "authorizationpolicies", "--all")
    assert said.splitlines()[-7:] == ["ask PERMISSION_DENIED"] * 5 + ["talk after", "connection kept"], said
    found = seen(kubectl, "target")
    assert "SEEN ask new-0" in found
    assert "SEEN ask new-1" not in found
    assert "SEEN talk after" in found  # said in the README: what was let in before goes on


def test_datagrams_are_not_captured(kubectl: Kubectl, target: str) -> None:
    """Said in the README: under strict mTLS, all denied and nothing allowed out, they come and go as without a mesh."""
    put(
        kubectl,
        made("AuthorizationPolicy", "nobody"),
        made("EgressPolicy", "default", mode="Refuse"),
        namespace=SPACE,
    )
    try:
        for who in ("stranger", "caller"):
            command = [who, "-c", "main", "--", *program(DATAGRAM, target, f"from-{who}")]
            assert f"from-{who}" in kubectl("-n", SPACE, "exec", *command).stdout
            assert f"SEEN datagram from-{who}" in seen(kubectl, "target")
    finally:
        kubectl("-n", SPACE, "delete", "authorizationpolicies,egresspolicies", "--all")


# Keeps a line of a request on its standard output, and ends after it.
ONCE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("SEEN", self.path, flush=True)
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("", 8080), Handler)
print("READY", flush=True)
server.handle_request()
"""


def status(kubectl: Kubectl, who: str, url: str) -> str:
    """The status that a Pod gets for a request, 000 without an answer."""
    command = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url]
    return str(kubectl("-n", SPACE, "exec", who, "-c", "main", "--", *command, check=False).stdout)


def test_init_containers_are_in_the_mesh_like_all_others(kubectl: Kubectl, target: str) -> None:
    """Injection puts capture and proxy before them: they call with the Pod's identity, and strangers are refused."""
    calls = {"name": "calls", **SHELL, "command": ["curl", "-sS", "-m", "20", "http://echo/"]}
    serves = {"name": "serves", **PYTHON, "command": program(ONCE)}
    early = pod("early", container=SLEEPS, initContainers=[calls, serves], serviceAccountName="early")
    put(kubectl, early, namespace=SPACE)
    eventually(
        lambda: "READY" in kubectl("-n", SPACE, "logs", "early", "-c", "serves", check=False).stdout,
        "the init container that serves",
    )
    said = seen(kubectl, "early", "-c", "calls")
    assert f"URI=spiffe://labs.example/ns/{SPACE}/sa/early" in said, said
    here = f"http://{address(kubectl, 'early', SPACE)}:8080"
    assert status(kubectl, "stranger", f"{here}/stranger") == "000"
    assert status(kubectl, "caller", f"{here}/caller") == "204"
    lines = seen(kubectl, "early", "-c", "serves").splitlines()
    assert [line for line in lines if "SEEN" in line] == ["SEEN /caller"]
    ready(kubectl, "early", namespace=SPACE)


def test_what_runs_before_the_sidecar_is_outside_of_the_mesh(kubectl: Kubectl, target: str) -> None:
    """Said in the README. A Pod can come with a proxy that it has written itself, or be changed by a later webhook.

    Such a container has no identity, so that whom it calls sees a stranger; and where it calls nobody decides.
    """
    urls = ("http://echo/", f"http://{address(kubectl, 'stranger', SPACE)}:8080/")
    ask = "".join(f"curl -s -m 5 -o /dev/null -w '%{{http_code}} ' {url};" for url in urls)
    before = {"name": "before", **SHELL, "command": ["sh", "-c", f"{ask} true"]}
    wanted = pod("crafty", container=SLEEPS, initContainers=[before], serviceAccountName="early")
    put(kubectl, made("EgressPolicy", "default", mode="Refuse"), namespace=SPACE)
    try:
        eventually(lambda: status(kubectl, "caller", urls[1]) == "000", "what is outside to be refused")
        said = kubectl(
            "-n", SPACE, "create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(wanted)
        )
        spec = json.loads(said.stdout)["spec"]
        spec["initContainers"].sort(key=lambda each: each["name"] != "before")
        assert [each["name"] for each in spec["initContainers"]] == ["before", "mesh-capture", "mesh-proxy"]
        put(kubectl, wanted | {"spec": spec}, namespace=SPACE)
        ready(kubectl, "crafty", namespace=SPACE)
        assert seen(kubectl, "crafty", "-c", "before").split() == ["000", "200"]
    finally:
        kubectl("-n", SPACE, "delete", "egresspolicies", "--all")
