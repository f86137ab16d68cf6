"""TrafficPolicies on a cluster: what the API server refuses, what is said of them, and what servers then saw."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labsupport.cluster.interface import Cluster
from labsupport.patience import patient
from tests.conftest import LABS

from .conftest import Mesh
from .pods import PYTHON
from .test_mesh_inject import pod, put, ready
from .test_mesh_traffic import eventually, service

Kubectl = Callable[..., Any]
Object = dict[str, Any]
SPACE = "mesh-policies"
PODS = ("server-0", "server-1", "server-2")
SERVER = """
import collections, http.server, json, os, threading
seen, go = collections.Counter(), threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        kind, _, word = self.path.strip("/").partition("/")
        status, body = 200, b""
        if kind == "seen":
            body = json.dumps(seen).encode()
        elif kind == "go":
            go.set()
        else:
            seen[self.path] += 1
            if kind == "hold":
                go.wait(60)
            if kind == "status":
                status = int(word[:3])
            if kind == "bad" and word.startswith(os.environ["HOSTNAME"]):
                status = 500
        self.send_response(status)
        self.send_header("x-pod", os.environ["HOSTNAME"])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
Server(("", 8080), Handler).serve_forever()
"""
CLIENT = """
import concurrent.futures, http.client, json, sys
asked = json.loads(sys.argv[1])
def one(host):
    try:
        client = http.client.HTTPConnection(host, timeout=60)
        client.request(asked["method"], asked["path"], headers=asked["headers"])
        answer = client.getresponse()
        return answer.status, answer.getheader("x-pod"), answer.read().decode()
    except OSError as error:
        return 0, "", str(error)
with concurrent.futures.ThreadPoolExecutor(asked["threads"]) as pool:
    print(json.dumps(list(pool.map(one, asked["hosts"]))))
"""
numbers = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def space(kubectl: Kubectl, mesh: Mesh) -> Iterator[None]:
    kubectl("create", "namespace", SPACE)
    kubectl("label", "namespace", SPACE, "mesh.labs.example/inject=true")
    servers = [pod(name, image=PYTHON, container={"command": ["python3", "-c", SERVER]}) for name in PODS]
    for each in servers:
        each["metadata"]["labels"] = {"app": "server"}
    client = pod("client", image=PYTHON, container={"command": ["sleep", "infinity"]})
    put(kubectl, service("server", "server"), *servers, client, namespace=SPACE)
    ready(kubectl, *PODS, "client", namespace=SPACE)
    eventually(lambda: ask(kubectl, "/", n=6)[200] == 6, "the Service")
    yield
    kubectl("delete", "namespace", SPACE)


@pytest.fixture
def hold(kubectl: Kubectl) -> Iterator[Callable[..., str]]:
    """Makes a TrafficPolicy for the Service `server`; it is gone after the test."""
    made = []

    def create(name: str, **spec: Any) -> str:
        put(kubectl, policy(name, **spec), namespace=SPACE)
        made.append(name)
        return name

    yield create
    for name in made:
        kubectl("-n", SPACE, "delete", "trafficpolicy", name, "--ignore-not-found")


def policy(name: str, *, target: str = "server", **spec: Any) -> Object:
    refs = [{"group": "", "kind": "Service", "name": target}]
    return {
        "apiVersion": "mesh.labs.example/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": {"name": name},
        "spec": {"targetRefs": refs, **spec},
    }


def run(
    kubectl: Kubectl, path: str, *hosts: str, method: str = "GET", threads: int = 1, **headers: str
) -> list[tuple[int, str, str]]:
    """Status, Pod and body of a request to each host, from the client's container."""
    asked = {"path": path, "hosts": hosts, "method": method, "threads": threads, "headers": headers}
    command = ["exec", "client", "-c", "main", "--", "python3", "-c", CLIENT, json.dumps(asked)]
    return [tuple(each) for each in json.loads(kubectl("-n", SPACE, *command, timeout=120).stdout)]


def ask(kubectl: Kubectl, path: str, *, n: int = 1, **how: Any) -> Counter[int]:
    """The statuses of so many requests to the Service."""
    return Counter(status for status, _, _ in run(kubectl, path, *["server"] * n, **how))


def addresses(kubectl: Kubectl) -> list[str]:
    words = ("get", "pods", *PODS, "-o", "jsonpath={.items[*].status.podIP}")
    return [f"{each}:8080" for each in kubectl("-n", SPACE, *words).stdout.split()]


def seen(kubectl: Kubectl, path: str) -> list[int]:
    """How often each of the servers got a request for this path."""
    return [json.loads(body).get(path, 0) for _, _, body in run(kubectl, "/seen", *addresses(kubectl))]


def new(kind: str) -> str:
    """A path that nobody has asked for yet."""
    return f"/{kind}/{next(numbers)}"


HASH = {"loadBalancing": {"policy": "Hash", "hash": {"header": "x-user"}}}
REFUSED: dict[str, Object] = {
    "nothing is said": {},
    "no target": {"targetRefs": [], "limits": {"requests": 1}},
    "a target twice": {"targetRefs": [{"group": "", "kind": "Service", "name": "a"}] * 2, "limits": {"requests": 1}},
    "not a Service": {"targetRefs": [{"group": "apps", "kind": "Deployment", "name": "a"}], "limits": {"requests": 1}},
    "hash without policy": {"loadBalancing": {**HASH["loadBalancing"], "policy": "Random"}},
    "policy without hash": {"loadBalancing": {"policy": "Hash"}},
    "two hashes": {"loadBalancing": {"policy": "Hash", "hash": {"header": "a", "cookie": {"name": "b"}}}},
    "unknown condition": {"retries": {"attempts": 1, "when": ["Always"]}},
    "a hundred retries": {"retries": {"attempts": 100}},
    "backoff that shrinks": {"retries": {"attempts": 1, "backoff": {"base": "1s", "max": "100ms"}}},
    "no duration": {"faults": {"delay": {"fixed": "soon"}}},
    "no time": {"faults": {"delay": {"fixed": "0s"}}},
    "more than all": {"faults": {"abort": {"status": 503, "percent": 101}}},
    "no error": {"faults": {"abort": {"status": 200}}},
    "no limit": {"limits": {}},
    "nobody may": {"limits": {"requests": 0}},
}  # fmt: skip


def test_what_makes_no_sense_is_refused_by_the_api_server(kubectl: Kubectl) -> None:
    taken = []
    for name, spec in REFUSED.items():
        text = json.dumps(policy("p", **spec))
        done = kubectl("-n", SPACE, "create", "--dry-run=server", "-f", "-", input=text, check=False)
        if done.returncode == 0 or "is invalid" not in done.stderr:
            taken.append((name, done.stderr))
    assert not taken
    good = json.dumps(policy("p", **HASH, retries={"attempts": 1}, outlier={}, limits={"requests": 1}))
    kubectl("-n", SPACE, "create", "--dry-run=server", "-f", "-", input=good)


def conditions(kubectl: Kubectl, name: str) -> dict[str, tuple[str, str]]:
    found = json.loads(kubectl("-n", SPACE, "get", "trafficpolicy", name, "-o", "json").stdout)
    said = (found.get("status") or {}).get("conditions") or []
    return {each["type"]: (each["status"], each["reason"]) for each in said}


def test_of_two_the_older_holds_and_the_other_is_told(kubectl: Kubectl, hold: Callable[..., str]) -> None:
    accepted = {"Accepted": ("True", "Accepted"), "Programmed": ("True", "Programmed")}
    hold("a-first", limits={"requests": 100})
    eventually(lambda: conditions(kubectl, "a-first") == accepted, "it to be accepted")
    hold("b-second", limits={"requests": 100})
    conflicted = ("False", "Conflicted")
    eventually(lambda: conditions(kubectl, "b-second").get("Accepted") == conflicted, "the conflict")
    assert conditions(kubectl, "a-first") == accepted
    hold("c-lost", target="nothing", limits={"requests": 100})
    lost = ("False", "TargetNotFound")
    eventually(lambda: conditions(kubectl, "c-lost").get("Accepted") == lost, "the missing target")
    kubectl("-n", SPACE, "delete", "trafficpolicy", "a-first")
    eventually(lambda: conditions(kubectl, "b-second") == accepted, "the second to hold")


def test_a_policy_is_seen_where_it_holds(
    kubectl: Kubectl, cluster: Cluster, hold: Callable[..., str]
) -> None:
    hold("steady", limits={"requests": 100}, **HASH)
    command = [*LABS, "mesh", "describe", "-n", SPACE, "client", "--name", cluster.name]

    def described() -> str:
        said = subprocess.run(command, capture_output=True, text=True, timeout=patient(60))
        return next((line for line in said.stdout.splitlines() if f"{SPACE}/steady" in line), "")

    line = eventually(described, "labs mesh describe to say so")
    assert line.split("  ") == [
        f"{SPACE}/server:80",
        f"{SPACE}/steady",
        "by hash, at most 100 open requests",
    ]
    (home,) = {who for _, who, _ in run(kubectl, "/", *["server"] * 20, **{"x-user": "anna"})}
    homes = [run(kubectl, "/", "server", **{"x-user": f"user-{i}"})[0][1] for i in range(3)]
    assert home in PODS
    assert set(homes) <= set(PODS)


def test_a_failed_request_is_tried_again(kubectl: Kubectl, hold: Callable[..., str]) -> None:
    path = new("status/503")
    assert ask(kubectl, path) == {503: 1}
    assert sum(seen(kubectl, path)) == 1
    hold("again", retries={"attempts": 2, "when": ["GatewayError"], "backoff": {"base": "1ms", "max": "1ms"}})

    def tried() -> int:
        path = new("status/503")
        assert ask(kubectl, path) == {503: 1}
        return sum(seen(kubectl, path))

    eventually(lambda: tried() == 3, "three tries")
    path = new("status/503")
    assert ask(kubectl, path, method="POST") == {503: 1}
    assert sum(seen(kubectl, path)) == 1
    path = new("bad/server-1")  # answers 500: that is no gateway's error
    ask(kubectl, path, n=12)
    assert sum(seen(kubectl, path)) == 12


def test_too_many_requests_are_refused_at_once_and_one_under_way_survives_the_change(
    kubectl: Kubectl, hold: Callable[..., str]
) -> None:
    early, path = new("hold"), new("hold")
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(ask, kubectl, early)
        eventually(lambda: sum(seen(kubectl, early)) == 1, "a request that is under way")
        hold("few", limits={"requests": 3})
        dump = ("exec", "client", "-c", "mesh-proxy", "--", "curl", "-s", "localhost:15000/config_dump")
        eventually(lambda: f"{SPACE}/few" in kubectl("-n", SPACE, *dump).stdout, "the proxy to have it")
        crowd = pool.submit(ask, kubectl, path, n=10, threads=10)
        log = ("logs", "client", "-c", "mesh-proxy", "--tail=200")

        def refused() -> int:
            lines = kubectl("-n", SPACE, *log).stdout.splitlines()
            return sum(" UO " in line and path in line for line in lines)

        eventually(lambda: refused() == 7, "seven lines in the proxy's log")
        assert sum(seen(kubectl, path)) == 3
        run(kubectl, "/go", *addresses(kubectl))
        assert crowd.result(60) == {200: 3, 503: 7}
        assert before.result(60) == {200: 1}
    assert sum(seen(kubectl, path)) == 3


def test_a_rate_holds_once_all_proxies_have_acknowledged_it(
    kubectl: Kubectl, hold: Callable[..., str]
) -> None:
    hold("rated", limits={"requestsPerSecond": 3})

    def programmed() -> str:
        found = json.loads(kubectl("-n", SPACE, "get", "trafficpolicy", "rated", "-o", "json").stdout)
        said = (found.get("status") or {}).get("conditions") or []
        return next((e["message"] for e in said if (e["type"], e["status"]) == ("Programmed", "True")), "")

    done = re.fullmatch(r"acknowledged by (\d+) of \1 proxies", eventually(programmed, "it to be programmed"))
    assert done
    assert int(done[1]) >= len(PODS) + 1  # any Pod of the mesh can call it
    path = new("rated")
    found = ask(kubectl, path, n=30, threads=10)
    assert found.keys() == {200, 429}, found
    assert sum(seen(kubectl, path)) == found[200]


def test_a_pod_that_fails_is_left_out(kubectl: Kubectl, hold: Callable[..., str]) -> None:
    hold("strict", outlier={"consecutiveErrors": 2, "baseEjection": "1m"},
         loadBalancing={"policy": "RoundRobin"})  # fmt: skip
    dump = ("exec", "client", "-c", "mesh-proxy", "--", "curl", "-s", "localhost:15000/config_dump")
    eventually(lambda: f"{SPACE}/strict" in kubectl("-n", SPACE, *dump).stdout, "the proxy to have it")
    path = new("bad/server-2")
    assert ask(kubectl, path, n=30) == {500: 2, 200: 28}
    # When it is left out is not told at once: the two others need not have had the same turns.
    left_out, *others = sorted(seen(kubectl, path))
    assert (left_out, sum(others)) == (2, 28)
    assert min(others) >= 12


def test_faults_come_from_the_clients_proxy(kubectl: Kubectl, hold: Callable[..., str]) -> None:
    hold("faulty", faults={"abort": {"status": 418}})
    eventually(lambda: ask(kubectl, "/") == {418: 1}, "a fault")
    path = new("aborted")
    assert ask(kubectl, path, n=20) == {418: 20}
    assert sum(seen(kubectl, path)) == 0
    kubectl("-n", SPACE, "delete", "trafficpolicy", "faulty")
    eventually(lambda: ask(kubectl, "/") == {200: 1}, "no fault any more")
