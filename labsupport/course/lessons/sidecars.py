"""What lab M3 looks at: Pods with a proxy and without, what the kernel does with their connections, who asks whom.

The Pods are those of labs/source/m3-sidecars/start: `box` and `peer` say on which port a connection came in; `captured`
and `asked` are clients of the Service `ledger`, which tells what arrived.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.views import Note, Table
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.kube.objects import Object
from labsupport.kube.reasons import explain
from labsupport.mesh import names
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    from labsupport.course.context import Context
    from labsupport.course.worlds.world import World

START = patient(15.0)  # seconds for Pods with a sidecar to be ready; it takes about 3
NOTICED = patient(8.0)  # seconds for the kubelet to ask three times, and the policy to arrive
CLIENT = "import urllib.request as r; print(r.urlopen('http://{host}/', timeout=3).read().decode())"
Connection = Mapping[str, Any]


# --- Pods


def containers_of(pod: Object) -> list[str]:
    """The names of a Pod's containers, in the order in which they start."""
    spec = pod["spec"]
    return [each["name"] for each in [*(spec.get("initContainers") or []), *spec["containers"]]]


def has_proxy(pod: Object) -> bool:
    """Whether a Pod has the mesh's sidecar."""
    return names.PROXY_CONTAINER in containers_of(pod)


def pods_of(api: ApiClient, namespace: str, app: str) -> list[Object]:
    """The Pods with the label app=`app` that are not going, oldest first."""
    return kube.standing_pods(api, namespace, f"app={app}")


def is_ready(pod: Object) -> bool:
    """Whether it counts as an endpoint of its Services."""
    return kube.is_ready(pod)


def pods(lab: Context) -> Table:
    """The lab's Pods with their containers, in the order in which these start; * marks init containers that stay."""
    rows = []
    for pod in sorted(
        kube.list_objects(lab.api, "v1", "Pod", lab.namespace), key=lambda pod: pod["metadata"]["name"]
    ):
        if pod["metadata"].get("deletionTimestamp"):
            continue
        first = [
            each["name"] + ("*" if each.get("restartPolicy") == "Always" else "")
            for each in pod["spec"].get("initContainers") or []
        ]
        own = [each["name"] for each in pod["spec"]["containers"]]
        state = "yes" if is_ready(pod) else "no"
        captured = (pod["metadata"].get("labels") or {}).get(names.PROXY, "-")
        rows.append((pod["metadata"]["name"], " > ".join(first) or "-", ", ".join(own), captured, state))
    columns = ("Pod", "Init containers", "Containers", "Capture", "Ready")
    return Table(f"Pods in {lab.namespace}", columns, rows)


def restart(lab: Context, *deployments: str, timeout: float = START) -> Note:
    """Delete the Pods of Deployments, whose controllers make others, and wait until these are ready."""
    began = time.monotonic()
    old = {name: pods_of(lab.api, lab.namespace, name) for name in deployments}
    for pod in (pod for pods in old.values() for pod in pods):
        path = f"/api/v1/namespaces/{lab.namespace}/pods/{pod['metadata']['name']}"
        kube.request(lab.api, "DELETE", path)
    try:
        for name in deployments:
            gone = {pod["metadata"]["uid"] for pod in old[name]}
            target = kube.Target("v1", "Pod", namespace=lab.namespace, labels=f"app={name}")
            left = max(1.0, timeout - (time.monotonic() - began))
            kube.until(lab.api, target, _new_and_ready(name, gone), timeout=left)
    except kube.wait.TimedOut as late:
        why = refusals(lab.api, lab.namespace)
        return Note("\n".join([late.seen.text, *why]), f"Not ready after {timeout:.0f} s")
    return Note(f"{' and '.join(deployments)} have new Pods, ready after {time.monotonic() - began:.1f} s.")


def noticed(lab: Context, deployment: str, timeout: float = NOTICED) -> Note:
    """Wait until the kubelet has found that a Deployment's Pod is not ready, and give its words."""
    target = kube.Target("v1", "Pod", namespace=lab.namespace, labels=f"app={deployment}")

    def unready(found: list[Object]) -> kube.Seen:
        return kube.Seen(not any(map(is_ready, found)), f"{deployment} is ready")

    try:
        kube.until(lab.api, target, unready, timeout=timeout)
    except kube.wait.TimedOut:
        return Note(f"{deployment} is still ready.")
    words = [
        line
        for pod in pods_of(lab.api, lab.namespace, deployment)
        for line in explain(lab.api, {"apiVersion": "v1", "kind": "Pod", **pod})
        if "probe" in line.lower()
    ]
    return Note("\n".join(words[-1:]) or "The kubelet has given no reason yet.", f"{deployment} is not ready")


def _new_and_ready(name: str, gone: set[str]) -> Callable[[list[Object]], kube.Seen]:
    def look(found: list[Object]) -> kube.Seen:
        there = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
        new = [pod for pod in there if pod["metadata"]["uid"] not in gone]
        if not new:
            return kube.Seen(False, f"{name} has no new Pod yet")
        return kube.Seen(all(map(is_ready, new)), f"the new Pod of {name} is not ready yet")

    return look


def refusals(api: ApiClient, namespace: str) -> list[str]:
    """Why ReplicaSets cannot create their Pods, in the API server's words."""
    sets = kube.list_objects(api, "apps/v1", "ReplicaSet", namespace)
    conditions = [entry for each in sets for entry in (each.get("status") or {}).get("conditions") or []]
    return sorted({str(each.get("message")) for each in conditions if each["type"] == "ReplicaFailure"})


def dry_pod(world: World, namespace: str, **metadata: Any) -> kube.Answer:
    """What the API server would store for a small new Pod; a dry run goes through all webhooks and stores nothing."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", **metadata},
        "spec": {"containers": [{"name": "app", "image": "labs.example/shell:1"}]},
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    return kube.exchange(world.api, "POST", path, query={"dryRun": "All"}, body=pod)


# --- who asks


@dataclass(frozen=True)
class Asked:
    """What the ledger saw of one request: the caller's identity, "" where it knows none; or why there was no answer."""

    identity: str
    failure: str = ""

    def __str__(self) -> str:
        """In words."""
        if self.failure:
            return f"no answer: {self.failure}"
        return f"the caller is {self.identity}" if self.identity else "the caller is not known (plaintext)"


def ask(api: ApiClient, namespace: str, pod: str, host: str, container: str = "") -> Asked:
    """One request from a Pod to the echo application behind the Service `host`."""
    command = ["python3", "-c", CLIENT.format(host=host)]
    try:
        text = execute(api, namespace, pod, command, container=container, timeout=10.0)
    except kube.Unreachable:
        raise
    except LabsError as error:
        return Asked("", [line for line in error.what.strip().splitlines() if line.strip()][-1][:200])
    return Asked(_identity(text))


def _identity(text: str) -> str:
    found = re.search(r"(?i)x-forwarded-client-cert:.*?URI=(spiffe:[^;,\s]+)", text)
    return found[1] if found else ""


def who(lab: Context, deployment: str = "till", host: str = "ledger") -> Note:
    """Whom the ledger takes the newest Pod of a Deployment for."""
    there = pods_of(lab.api, lab.namespace, deployment)
    if not there:
        return Note(f"There is no Pod of {deployment}.")
    name = there[-1]["metadata"]["name"]
    return Note(f"{name} asks {host}: {ask(lab.api, lab.namespace, name, host, deployment)}.")


# --- what the kernel does with a connection


def box(world: World) -> dict[str, str]:
    """The addresses that connections are tried between. Errors: LabsError where the Pods are not there."""
    found = {}
    for name in ("box", "peer"):
        pod = kube.get(world.api, "v1", "Pod", name, world.namespace)
        if pod is None or not is_ready(pod):
            raise LabsError(f"There is no Pod {name} that is ready.", fix="apply start/capture.yaml")
        found[name] = pod["status"]["podIP"]
    service = kube.get(world.api, "v1", "Service", "peer", world.namespace)
    found["service"] = service["spec"]["clusterIP"] if service else ""
    return found


def kernel(world: World, connections: Sequence[Connection]) -> list[int | None]:
    """Where connections really come out, made by `box` or by `peer`: at the proxy's port 15001 or 15006 of box, or
    (None) where they were going. Errors: LabsError names one that came out nowhere.
    """
    found: dict[int, int | None] = {}
    for side, pod in (("inside", "box"), ("outside", "peer")):
        numbers = [n for n, each in enumerate(connections) if each["from"] == side]
        calls = [
            [
                connections[n]["protocol"],
                connections[n]["mark"] or 0,
                connections[n]["to"],
                connections[n]["port"],
            ]
            for n in numbers
        ]
        if not calls:
            continue
        command = ["python3", "/listen/call.py", json.dumps(calls)]
        said = json.loads(execute(world.api, world.namespace, pod, command, timeout=20.0))
        for n, (name, port) in zip(numbers, said, strict=True):
            if not name:
                raise LabsError(f"{told(connections[n])} came out nowhere: {port}")
            at_proxy = name == "box" and port in (names.OUTBOUND, names.INBOUND)
            meant = connections[n]["port"] == port and connections[n]["from"] == "inside"
            found[n] = port if at_proxy and not meant else None
    return [found[n] for n in range(len(connections))]


def told(connection: Connection) -> str:
    """A connection in words."""
    mark = f", mark {connection['mark']:#x}" if connection["mark"] else ""
    own = " (its own address)" if connection["to"] == connection["pod"] else ""
    return (
        f"{connection['protocol']} from {connection['from']} the Pod to {connection['to']}{own}, "
        f"port {connection['port']}{mark}"
    )


def examples(world: World) -> list[Connection]:
    """Some connections of the Pod box, to try."""
    at = box(world)
    return [
        connection(at["box"], "inside", at["peer"], 8080),
        connection(at["box"], "inside", at["service"], 80),
        connection(at["box"], "inside", "127.0.0.1", 8080),
        connection(at["box"], "inside", at["peer"], 8080, mark=names.MARK_OUT),
        connection(at["box"], "outside", at["box"], 8080),
        connection(at["box"], "outside", at["box"], names.HEALTH),
    ]


def connection(
    pod: str, side: str, to: str, port: int, *, mark: int = 0, protocol: str = "tcp"
) -> Connection:
    """A connection as `m3-capture` describes it."""
    return {"from": side, "protocol": protocol, "mark": mark, "pod": pod, "to": to, "port": port}


def tried(lab: Context, connections: Iterable[Connection]) -> Table:
    """Make connections and show where each came out."""
    given = list(connections)
    rows = [
        (told(each), "where it was going" if port is None else f"at the proxy, port {port}")
        for each, port in zip(given, kernel(lab.world, given), strict=True)
    ]
    return Table("What the kernel did", ("Connection", "It came out"), rows)


# --- a proxy dies

CLIENTS = (("captured", "library"), ("asked", "library"), ("asked", "socket"))
WORDS = {
    ("captured", "library"): "captured, any library",
    ("asked", "library"): "mode env, library heeds http_proxy",
    ("asked", "socket"): "mode env, library does not",
}
BIN = 0.2  # seconds for one sign of the picture
SECONDS = 6.0
KILLED_AT = 1.5


def sign(said: str) -> str:
    """One sign for what became of a request."""
    if said.startswith("spiffe:"):
        return "+"
    return "-" if said == "plaintext" else "x"


def asking(world: World, pod: str, way: str, seconds: float) -> list[tuple[float, str]]:
    """Ask the ledger from a client for so many seconds: when each request began, and what came of it."""
    command = ["python3", "/ask/ask.py", way, f"{seconds:g}"]
    said = execute(world.api, world.namespace, pod, command, container="client", timeout=seconds + 20)
    lines = [line.split(" ", 1) for line in said.splitlines()]
    return [(float(at), what) for at, what in lines]


def once(lab: Context) -> Table:
    """One request of each client: whom the ledger saw."""
    rows = []
    for client in CLIENTS:
        said = asking(lab.world, *client, seconds=0.0)[-1][1]
        known = "nobody: the request came in plaintext" if said == "plaintext" else said
        rows.append((WORDS[client], known))
    return Table("Whom the ledger sees", ("Client", "The ledger saw"), rows)


def by_address(lab: Context, pod: str = "captured") -> Table:
    """What a client gets that calls the ledger by the Service's name, and by the address of its Pod."""
    ledger = pods_of(lab.api, lab.namespace, "ledger")
    address = f"{ledger[-1]['status']['podIP']}:8080" if ledger else "nobody"
    rows = []
    for words, host in (("the Service's name", "ledger"), ("the Pod's address", address)):
        rows.append((words, f"http://{host}/", str(ask(lab.api, lab.namespace, pod, host, "client"))))
    return Table(f"{pod} calls the ledger", ("By", "URL", "Outcome"), rows)


def outage(lab: Context) -> Table:
    """Kill the proxies of both clients while they ask, and show what became of their requests."""
    world = lab.world
    with ThreadPoolExecutor(len(CLIENTS) + 1) as pool:
        running = [pool.submit(asking, world, pod, way, SECONDS) for pod, way in CLIENTS]
        time.sleep(KILLED_AT)
        killed = time.time()
        for pod in sorted({pod for pod, _ in CLIENTS}):
            execute(
                world.api, world.namespace, pod, ["pkill", "-9", "envoy"], container=names.PROXY_CONTAINER
            )
        told_by = [each.result() for each in running]
    begin = min(at for asked in told_by for at, _ in asked)
    rows = [
        (WORDS[client], strip(asked, begin), *counts(asked, killed))
        for client, asked in zip(CLIENTS, told_by, strict=True)
    ]
    columns = ("Client", f"One sign for {BIN:g} s", "Before the kill", "After it")
    title = (
        f"Proxies killed {killed - begin:.1f} s after the beginning (+ answered, and the ledger knew the caller; "
        "- answered, caller unknown; x no answer)"
    )
    return Table(title, columns, rows)


def strip(asked: Sequence[tuple[float, str]], begin: float) -> str:
    """A sign for each stretch of time: the worst that happened in it; a space where no request began."""
    signs: dict[int, str] = {}
    for at, said in asked:
        place = int((at - begin) / BIN)
        signs[place] = max(signs.get(place, "+"), sign(said), key="+-x".index)
    return "".join(signs.get(place, " ") for place in range(max(signs, default=-1) + 1))


def counts(asked: Sequence[tuple[float, str]], killed: float) -> tuple[str, str]:
    """How many requests ended how, before and after a moment."""
    parts = []
    for later in (False, True):
        some = [sign(said) for at, said in asked if (at >= killed) is later]
        parts.append(", ".join(f"{some.count(each)} {each}" for each in "+-x" if each in some) or "none")
    return parts[0], parts[1]
