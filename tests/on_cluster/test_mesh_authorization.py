"""AuthorizationPolicies in a cluster: who is refused, and that the server saw nothing of it.

What is decided on which request is tried in tests/mesh/translate/test_authorization.py, beside a real Envoy.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster
from tests.conftest import LABS

from .conftest import Mesh
from .test_mesh_inject import pod, put, ready
from .test_mesh_traffic import address, call, eventually, field, policy, service

Kubectl = Callable[..., Any]
Object = dict[str, Any]
SPACE = "mesh-authz"
PORTS = ({"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp", "port": 9090, "targetPort": 9090})
# Answers every request with its path, and bytes with themselves; and keeps a line of each on its standard output.
SERVER = """
import http.server, socketserver, threading
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def answer(self):
        print("SEEN", self.command, self.path, flush=True)
        if self.headers.get("transfer-encoding", "") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        self.rfile.read(int(self.headers.get("content-length", 0)))  # else it would take it for the next request
        body = f"PATH={self.path}\\n".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_CONNECT = do_OPTIONS = answer
    def log_message(self, *words): pass
class Bytes(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            print("SEEN", "bytes", line.decode().strip(), flush=True)
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
threading.Thread(target=Server(("", 9090), Bytes).serve_forever).start()
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
# Sends each text that it is given, as it is, on a connection of its own, all at once; prints what came back for each.
RAW = """
import concurrent.futures, json, socket, sys
def ask(way):
    host, port, text = way
    said = b""
    try:
        with socket.create_connection((host, port), timeout=3) as open_:
            open_.sendall(text.encode("latin-1"))
            while more := open_.recv(65536):
                said += more
                if text.endswith("\\n") and said.endswith(text.encode()):
                    break  # bytes came back; the server does not end this
    except OSError:
        pass
    return said.decode("latin-1")
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(json.dumps(list(pool.map(ask, json.loads(sys.argv[1])))))
"""
# One connection that stays open, asked again and again; a line for each answer: when, and its status.
KEPT = """
import http.client, sys, time
client = http.client.HTTPConnection("server", timeout=5)
client.connect()
own = client.sock.getsockname()
while True:
    client.request("GET", "/kept")
    answer = client.getresponse()
    answer.read()
    assert client.sock and client.sock.getsockname() == own, "another connection"
    print(time.time(), answer.status, flush=True)
    time.sleep(0.01)
"""


def authorization(name: str, *rules: Object, app: str = "server", **spec: Any) -> Object:
    metadata = {"name": name, "namespace": SPACE}
    spec = {"selector": {"matchLabels": {"app": app}}, "rules": list(rules), **spec}
    api = {"apiVersion": "mesh.labs.example/v1alpha1", "kind": "AuthorizationPolicy"}
    return {**api, "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    kubectl("create", "namespace", SPACE)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    for name in ("web", "thief", "server"):
        kubectl("-n", SPACE, "create", "serviceaccount", name)
    echo = {"image": "labs.example/echo:1", "args": ["--port=8080"]}
    server = {"image": "labs.example/shell:1", "command": ["python3", "-c", SERVER]}
    put(
        kubectl,
        policy("STRICT"),
        service("server", "server", *PORTS),
        pod("server", container=server, serviceAccountName="server"),
        pod("web", container=echo, serviceAccountName="web"),
        pod("thief", container=echo, serviceAccountName="thief"),
        pod("outside", container=echo, annotations={"mesh.labs.example/inject": "false"}),
        namespace=SPACE,
    )
    ready(kubectl, "server", "web", "thief", "outside", namespace=SPACE)
    yield
    kubectl("delete", "namespace", SPACE, "--wait=false")


@contextmanager
def policies(kubectl: Kubectl, *objects: Object) -> Iterator[None]:
    """These policies, once the server's proxy has them."""
    put(kubectl, *objects, namespace=SPACE)
    try:
        eventually(lambda: settled(kubectl), "the proxies to have the policies")
        yield
    finally:
        kubectl("-n", SPACE, "delete", "authorizationpolicies", "--all")
        eventually(lambda: status(kubectl, "web") == "200", "an answer without policies")


def settled(kubectl: Kubectl) -> bool:
    found = json.loads(kubectl("-n", SPACE, "get", "authorizationpolicies", "-o", "json").stdout)["items"]
    said = [(each.get("status") or {}).get("conditions") or [] for each in found]
    return all(each and all(one["status"] == "True" for one in each) for each in said)


def status(kubectl: Kubectl, who: str, path: str = "/", *words: str) -> str:
    """The status that curl sees."""
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", "-m", "5", *words]
    done = kubectl(
        "-n", SPACE, "exec", who, "-c", "main", "--", *command, f"http://server{path}", check=False
    )
    return str(done.stdout)


def raw(
    kubectl: Kubectl, who: str, *texts: str, ways: Sequence[tuple[str, int]] = (("server", 80),)
) -> list[str]:
    """What comes back for these bytes; each text on each way."""
    each = json.dumps([[host, port, text] for host, port in ways for text in texts])
    command = ["exec", who, "-c", "main", "--", "python3", "-c", RAW, each]
    found: list[str] = json.loads(kubectl("-n", SPACE, *command, timeout=90).stdout)
    return found


def seen(kubectl: Kubectl, mark: str) -> list[str]:
    """The lines of the server's log with this in them."""
    text = kubectl("-n", SPACE, "logs", "server", "-c", "main", "--tail=500").stdout
    return [line for line in text.splitlines() if mark in line]


WEB = {"from": [{"identities": [f"{SPACE}/web"]}]}
PUBLIC = {"to": [{"methods": ["GET"], "paths": ["/public/*"]}]}


def test_by_identity_and_only_that_one(kubectl: Kubectl) -> None:
    with policies(kubectl, authorization("web", WEB)):
        eventually(lambda: status(kubectl, "thief", "/identity-thief") == "403", "a refusal")
        assert status(kubectl, "web", "/identity-web") == "200"
        claims = "x-forwarded-client-cert: URI=spiffe://labs.example/ns/mesh-authz/sa/web"
        for spelled in (claims, claims.replace("-", "_", 3)):
            assert status(kubectl, "thief", "/identity-thief", "-H", spelled) == "403"
        assert seen(kubectl, "/identity-web")
        assert not seen(kubectl, "/identity-thief")


def test_default_deny_and_audit(kubectl: Kubectl) -> None:
    with policies(kubectl, authorization("nobody")):
        eventually(lambda: status(kubectl, "web", "/nobody") == "403", "a refusal")
    with policies(kubectl, authorization("trial", mode="Audit")):
        assert status(kubectl, "web", "/audited") == "200"
        assert seen(kubectl, "/audited")


# Each way to write /secret, or to hide a second request in one: none may get past a Deny of that path or into an Allow
# of another one. What the server would make of it does not matter, as long as it does not see it.
WAYS = [
    "/secret", "//secret", "/./secret", "/x/../secret", "/x/%2e%2e/secret", "/%73ecret", "/secret/", "/SECRET",
    "/Secret", "/x\\..\\secret", "/x%2f..%2fsecret", "/x%5c..%5csecret", "/secret;x=1", "/x/..;/secret", "/secret%00",
    "/%252e/secret", "/secret%2f", "/secret%3fx", "/%c0%afsecret", "http://server/secret", "http://other.example/secret",
]  # fmt: skip
HEADERS = ["Host: server", "Host: server:80", "Host: server.", "Host: SERVER", "Host: other.example"]


def written(path: str, header: str = HEADERS[0], method: str = "GET") -> str:
    return f"{method} {path} HTTP/1.1\r\n{header}\r\nx: m\r\nconnection: close\r\n\r\n"


def refused(kubectl: Kubectl, requests: Sequence[str]) -> None:
    for request, said in zip(requests, raw(kubectl, "web", *requests), strict=True):
        assert said.split(" ")[1:2] in (["403"], ["400"]), f"{request}: {said}"


def test_no_way_to_write_a_path_gets_past_a_policy(kubectl: Kubectl) -> None:
    denied = authorization("secret", {"to": [{"paths": ["/secret*"]}]}, action="Deny")
    with policies(kubectl, denied):
        eventually(lambda: status(kubectl, "web", "/secret") == "403", "a refusal")
        refused(kubectl, [written("/secret", header) for header in HEADERS] + [written(way) for way in WAYS])
        assert not seen(kubectl, "ecret"), "the server saw it"  # codespell:ignore
        assert not seen(kubectl, "ECRET")  # codespell:ignore
    with policies(kubectl, authorization("public", PUBLIC)):
        eventually(lambda: status(kubectl, "web", "/private") == "403", "a refusal")
        assert status(kubectl, "web", "/public/page") == "200"
        refused(kubectl, [written(f"/public/..{way}" if way.startswith("/") else way) for way in WAYS])
        assert not seen(kubectl, "ecret"), "the server saw it"  # codespell:ignore


def test_no_request_is_hidden_in_another(kubectl: Kubectl) -> None:
    with policies(kubectl, authorization("public", PUBLIC)):
        eventually(lambda: status(kubectl, "web", "/private") == "403", "a refusal")
        inner = "GET /smuggled HTTP/1.1\r\nhost: server\r\n\r\n"
        head = "POST /public/a HTTP/1.1\r\nhost: server\r\n"
        outer = (
            f"{head}content-length: {len(inner) + 5}\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}",
            f"{head}content-length: 0\r\ncontent-length: {len(inner)}\r\n\r\n{inner}",
            f"{head}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n{inner}",
            f"GET /public/a HTTP/1.1\r\nhost: server\r\ncontent-length: {len(inner)}\r\n\r\n{inner}",
            f"GET /public/a HTTP/1.1\r\nhost: server\r\n\r\n{inner}",
            f"GET /public/a HTTP/1.1\r\nhost: server\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
            f"connection: upgrade, http2-settings\r\n\r\n{inner}",
            f"CONNECT server:80 HTTP/1.1\r\nhost: server:80\r\n\r\n{inner}",
            f"CONNECT /public/a HTTP/1.1\r\nhost: server\r\n\r\n{inner}",
        )
        raw(kubectl, "web", *outer)
        assert not seen(kubectl, "/smuggled")
        assert not seen(kubectl, "CONNECT")


def test_bytes_by_identity(kubectl: Kubectl) -> None:
    def said(who: str, text: str) -> str:
        return raw(kubectl, who, f"{text}\n", ways=[("server", 9090)])[0]

    with policies(kubectl, authorization("web", WEB)):
        eventually(lambda: "thief-1" not in said("thief", "thief-1"), "a refusal")
        before = len(seen(kubectl, "bytes thief"))
        assert "web-1" in said("web", "web-1")
        assert "thief-2" not in said("thief", "thief-2")
        assert len(seen(kubectl, "bytes thief")) == before
    # What is said of HTTP is not known of bytes: it lets nobody in, and keeps everybody out.
    for one in (authorization("http", PUBLIC), authorization("http", PUBLIC, action="Deny")):
        with policies(kubectl, one):
            eventually(lambda: "web-2" not in said("web", "web-2"), "a refusal")


def test_a_change_reaches_a_connection_that_stays_open(kubectl: Kubectl) -> None:
    command = ["timeout", "8", "python3", "-uc", KEPT]
    done: list[str] = []

    def keep() -> None:
        done.append(
            str(
                kubectl(
                    "-n", SPACE, "exec", "web", "-c", "main", "--", *command, check=False, timeout=40
                ).stdout
            )
        )

    asking = threading.Thread(target=keep)
    asking.start()
    eventually(lambda: seen(kubectl, "/kept"), "the first request")
    with policies(kubectl, authorization("nobody", action="Deny", rules=[{}])):
        eventually(lambda: status(kubectl, "web") == "403", "a refusal")
        refused = time.time()
    asking.join()
    answers = [line.split() for line in done[0].splitlines()]
    codes = [code for _, code in answers]
    assert [codes[0], codes[-1]] == ["200", "200"], codes
    assert "403" in codes
    first, last = codes.index("403"), len(codes) - 1 - codes[::-1].index("403")
    assert set(codes[first : last + 1]) == {"403"}, "an old answer after a new one"
    assert float(answers[first][0]) <= refused + 1


def test_past_the_sidecar(kubectl: Kubectl) -> None:
    """By the Pod's address, the proxy's own ports, and from a Pod without a proxy: nothing of it reaches the server."""
    here = address(kubectl, "server", SPACE)
    kubectl("-n", SPACE, "patch", "service", "server", "-p", '{"spec": {"type": "NodePort"}}')
    found = json.loads(kubectl("-n", SPACE, "get", "service", "server", "-o", "json").stdout)
    node = json.loads(kubectl("get", "nodes", "-o", "json").stdout)["items"][0]["status"]["addresses"][0][
        "address"
    ]
    ways = [(here, 8080), (here, 9090), (here, 15001), (here, 15006), ("server", 80)]
    ways += [(node, each["nodePort"]) for each in found["spec"]["ports"]]
    with policies(kubectl, authorization("web", WEB)):
        eventually(lambda: status(kubectl, "thief") == "403", "a refusal")
        for who in ("outside", "thief"):
            raw(kubectl, who, written(f"/past-{who}"), ways=ways)
        assert not seen(kubectl, "/past-")


MARKED = """
import socket, sys
open_ = socket.socket()
try:
    open_.setsockopt(socket.SOL_SOCKET, 36, 0x539)
except PermissionError:
    sys.exit("may not set a mark")
open_.settimeout(5)
open_.connect((sys.argv[1], 8080))
open_.sendall(b"GET /marked HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
print(open_.recv(1000))
"""


def test_an_application_cannot_take_the_proxys_mark(kubectl: Kubectl) -> None:
    there = address(kubectl, "outside", SPACE)
    done = kubectl(
        "-n", SPACE, "exec", "thief", "-c", "main", "--", "python3", "-c", MARKED, there, check=False
    )
    assert "may not set a mark" in done.stderr, done.stdout
    assert "SEEN" not in done.stdout
    # One that asks for it may, and whoever makes it is told; a server that answers the mesh alone is safe from it.
    asks = {"image": "labs.example/echo:1", "args": ["--port=8080"]}
    asks["securityContext"] = {"capabilities": {"add": ["NET_RAW"]}}
    said = put(kubectl, pod("marker", container=asks, serviceAccountName="thief"), namespace=SPACE)
    assert "asks for NET_RAW: it can set the mark" in said.stderr
    ready(kubectl, "marker", namespace=SPACE)
    own = ["exec", "marker", "-c", "main", "--", "python3", "-c", MARKED]
    assert "200" in kubectl("-n", SPACE, *own, there, check=False).stdout
    kubectl("-n", SPACE, *own, address(kubectl, "server", SPACE), check=False)
    assert not seen(kubectl, "/marked")


def test_what_cannot_be_meant_is_refused(kubectl: Kubectl) -> None:
    for rule in (
        {"to": [{"paths": ["/a/../b"]}]},
        {"to": [{"paths": ["a"]}]},
        {"to": [{"paths": ["/a*b"]}]},
        {"to": [{"headers": [{"name": "host", "values": ["a"]}]}]},
        {"to": [{"headers": [{"name": "X-A", "values": ["a"]}]}]},
        {"from": [{"identities": ["web"]}]},
        {"from": [{}]},
        {"to": []},
    ):
        done = put(kubectl, authorization("bad", rule), namespace=SPACE, check=False)
        assert done.returncode != 0, rule


def test_it_is_explained(kubectl: Kubectl, cluster: Cluster) -> None:
    def authz(who: str, *words: str) -> Any:
        command = [
            *LABS,
            "mesh",
            "authz",
            "--from",
            who,
            "--to",
            f"{SPACE}/server",
            *words,
            "--name",
            cluster.name,
        ]
        return subprocess.run(command, capture_output=True, text=True)

    with policies(
        kubectl, authorization("web", WEB), authorization("trial", {}, mode="Audit", action="Deny")
    ):
        said = authz(f"{SPACE}/web")
        assert said.returncode == 0, said.stderr
        assert f"allowed: the Allow rule {SPACE}/web/0 matches" in said.stdout
        assert (
            f"If audited policies were enforced, refused: the Deny rule {SPACE}/trial/0 matches"
            in said.stdout
        )
        said = authz(f"{SPACE}/thief")
        assert said.returncode == 1
        assert "no: from" in said.stdout
        assert "STRICT" in authz("-").stdout
    assert field(call(kubectl, "web", "http://server/", namespace=SPACE), "StatusCode") == "200"
