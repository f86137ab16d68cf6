"""Waiting until an embedded cluster is ready, and saying why where it will not become so."""

from __future__ import annotations

import datetime
import json
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.cluster.directory import ClusterDirectory
from labsupport.cluster.embedded import holder
from labsupport.cluster.embedded.addresses import API_SERVICE_IP, DNS_SERVICE_IP, FIRST, Addresses
from labsupport.cluster.embedded.prepare import node_directory
from labsupport.errors import LabsError
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

API_SECONDS = patient(90.0)  # a loaded two-core machine was seen to take 20
READY_SECONDS = patient(90.0)
DNS_CONNECT_SECONDS, DNS_SECONDS = patient(0.1), patient(2.0)
POLL = 0.02  # seconds between looks at what offers no event: a file that is replaced, a name server
DAMAGED_AFTER = 4  # failed starts of etcd with nothing served in between
FULL_DISK_MB = 50

Update = Callable[[str], None]


class StoreDamaged(LabsError):
    """etcd cannot start from what is on disk."""


def read_status(directory: ClusterDirectory, node: Addresses = FIRST) -> dict[str, Any]:
    """What a node says of itself (supervisor.py); {} before it has said anything."""
    try:
        status = json.loads((node_directory(directory, node).host / "status.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return status if isinstance(status, dict) else {}


def wait_for_api(directory: ClusterDirectory, update: Update) -> None:
    """Wait until the node's supervisor saw the API server ready.

    Raises LabsError: the node ended, the store is damaged, the disk is full, or time ran out (with what was seen last).
    """
    deadline = time.monotonic() + API_SECONDS
    failures_before = None
    while True:
        status = read_status(directory)
        components = {component["name"]: component for component in status.get("components", [])}
        api = components.get("kube-apiserver", {})
        if api.get("ready"):
            return
        etcd = components.get("etcd", {})
        failures = etcd.get("restarts", 0)
        # A node that was found running may have failed before, for a reason that is gone by now.
        failures_before = failures if failures_before is None else failures_before
        if failures - failures_before >= DAMAGED_AFTER:
            raise store_error(directory, etcd.get("last_exit", ""))
        if holder.find(directory) is None:
            raise LabsError(
                f"The node ended while it started: {_last_words(directory)}",
                fix="`labs report` collects its logs",
                anchor="node-ended",
            )
        if time.monotonic() > deadline:
            seen = "; ".join(
                f"{name} {component['state']}, {component['restarts']} restarts {component['last_exit']}".strip()
                for name, component in components.items()
            )
            raise LabsError(
                f"The API server did not become ready within {API_SECONDS:.0f} s. Last seen: {seen or 'nothing'}",
                fix="run `labs up` again: it goes on; `labs report` collects the logs",
                anchor="api-not-ready",
            )
        update(f"API server {api.get('state', 'not started')}")
        time.sleep(POLL)


def store_error(directory: ClusterDirectory, last_exit: str) -> LabsError:
    """Why etcd does not stay up, as far as can be told from outside."""
    free = shutil.disk_usage(directory.root).free // 2**20
    if free < FULL_DISK_MB or "no space left" in last_exit:
        return LabsError(
            f"The disk that holds {directory.root} is full ({free} MB free): the cluster's store cannot write.",
            fix="free some space (`labs cache --prune` frees what can be made again), then `labs up`",
            anchor="disk-full",
        )
    return StoreDamaged(
        f"The cluster's store is damaged: etcd does not start ({last_exit}). "
        "A power loss can do this; nothing outside the cluster is affected.",
        fix="`labs up --rebuild` makes the cluster anew; what was in it is lost",
        anchor="store-damaged",
    )


def wait_for_node(api: ApiClient, directory: ClusterDirectory, update: Update) -> None:
    """Wait until the node is Ready since it was started, and the default service account exists (Pods need it)."""
    deadline = time.monotonic() + READY_SECONDS
    wait_until_ready(api, directory, FIRST, update)
    account = kube.Target("v1", "ServiceAccount", "default", namespace="default")
    remaining = max(1.0, deadline - time.monotonic())
    kube.until(api, account, kube.ready, timeout=remaining, progress=update)


def wait_until_ready(api: ApiClient, directory: ClusterDirectory, node: Addresses, update: Update) -> None:
    """Wait until a node is Ready since it was started."""
    deadline = time.monotonic() + READY_SECONDS
    # It has said nothing yet where its first process has only just been started.
    while not (started := float(read_status(directory, node).get("started", 0))):
        held = holder.find(directory)
        ended = held and node.name in held.workers and held.workers[node.name].state == "ended"
        if ended or time.monotonic() > deadline:
            raise LabsError(
                f"{node.name} did not start: {_last_words(directory, node)}",
                fix=f"`labs node start {node.name}` tries again; `labs report` collects its logs",
            )
        time.sleep(POLL)
    target = kube.Target("v1", "Node", node.name)
    kube.until(api, target, ready_since(started), timeout=READY_SECONDS, progress=update)


def ready_since(started: float) -> Callable[[list[dict[str, Any]]], kube.Seen]:
    """Met when the kubelet said Ready after `started` (seconds since the epoch).

    A store that was kept still holds what the kubelet said before the node was stopped.
    """

    def check(nodes: list[dict[str, Any]]) -> kube.Seen:
        if not nodes:
            return kube.Seen(False, "the kubelet has not registered the node yet")
        for condition in nodes[0].get("status", {}).get("conditions", []):
            if condition["type"] == "Ready":
                said = datetime.datetime.fromisoformat(condition["lastHeartbeatTime"]).timestamp()
                if said < int(started):
                    return kube.Seen(False, "the kubelet has not reported since the start")
                text = f"Ready is {condition['status']}: {condition.get('message', '')}"
                return kube.Seen(condition["status"] == "True", text)
        return kube.Seen(False, "the node has no condition Ready yet")

    return check


def wait_for_dns(directory: ClusterDirectory, update: Update) -> None:
    """Wait until cluster DNS answers the name of the API's Service, asked through kube-proxy's rules."""
    deadline = time.monotonic() + READY_SECONDS
    while problem := dns_problem(directory):
        if time.monotonic() > deadline:
            raise LabsError(
                f"Cluster DNS did not answer within {READY_SECONDS:.0f} s: {problem}.",
                fix="`labs kubectl -n kube-system describe pod -l k8s-app=kube-dns` says why",
                anchor="dns",
            )
        update(f"DNS: {problem}")
        time.sleep(POLL)


def dns_problem(directory: ClusterDirectory) -> str:
    """Why cluster DNS does not answer; "" where it does."""
    import dns.exception
    import dns.message
    import dns.query

    question = dns.message.make_query("kubernetes.default.svc.cluster.local.", "A")
    try:
        # Until kube-proxy has written its rules nobody answers at this address, not even with a refusal.
        with holder.connected(
            node_directory(directory).host, f"{DNS_SERVICE_IP}:53", DNS_CONNECT_SECONDS
        ) as connection:
            connection.settimeout(DNS_SECONDS)
            answer = dns.query.tcp(question, DNS_SERVICE_IP, timeout=DNS_SECONDS, sock=connection)
    except (OSError, dns.exception.DNSException, EOFError) as error:
        return str(error) or type(error).__name__
    addresses = {item.to_text() for record in answer.answer for item in record}
    return "" if addresses == {API_SERVICE_IP} else f"answered {sorted(addresses) or answer.rcode().name}"


def _last_words(directory: ClusterDirectory, node: Addresses = FIRST) -> str:
    for log in (node_directory(directory, node).var / "log/labs/node.log", directory.root / "launcher.log"):
        lines = _lines(log)
        if lines:
            return lines[-1]
    return "no message"


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def node_conditions(directory: ClusterDirectory) -> dict[str, kube.Seen]:
    """Whether each node is Ready, by name, asked now. Raises LabsError where the API server does not answer."""
    found = kube.list_objects(kube.connect(directory.kubeconfig), "v1", "Node")
    return {node["metadata"]["name"]: ready_since(0)([node]) for node in found}


def api_problems(directory: ClusterDirectory, wanted: Iterable[str]) -> list[str]:
    """Why the API server or one of the nodes `wanted` is not ready, asked now; [] where all are."""
    try:
        conditions = node_conditions(directory)
    except LabsError as error:
        return [f"the API server does not answer: {error.what}"]
    missing = ready_since(0)([])
    seen = {name: conditions.get(name, missing) for name in wanted}
    return [f"node {name}: {condition.text}" for name, condition in seen.items() if not condition.done]
