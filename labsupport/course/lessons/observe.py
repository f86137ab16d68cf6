"""Watching the cluster work: every write that one `apply` sets off, in the order in which it passed the API
server.

The API's own timestamps have a resolution of one second, in which all of it happens. So watches are opened
first, and each change is timed when it arrives; that adds the few milliseconds that the watch takes.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.draw.timeline import Moment
from labsupport.errors import LabsError
from labsupport.kube.client import stream
from labsupport.kube.objects import Object, resource
from labsupport.kube.wait import ready
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

KINDS = (("apps/v1", "Deployment"), ("apps/v1", "ReplicaSet"), ("v1", "Pod"), ("v1", "Event"))
FOLLOW_SECONDS = patient(30.0)
OPEN_SECONDS = patient(10.0)  # until all watches are open
SILENCE_SECONDS = patient(5.0)  # of one of them
QUIET = 0.4  # seconds without a change after which the story is told
Arrival = tuple[float, str, Object]  # monotonic seconds, ADDED or MODIFIED or DELETED, the object


def follow(
    api: ApiClient, namespace: str, documents: Sequence[Mapping[str, Any]], *, timeout: float = FOLLOW_SECONDS
) -> list[Moment]:
    """Apply `documents` to `namespace` and return what happened until all were ready, `timeout` seconds at
    most.
    """
    arrivals: queue.Queue[Arrival] = queue.Queue()
    stop = threading.Event()
    began = threading.Barrier(len(KINDS) + 1)
    for document in documents:  # asked now, so that the apply is one request
        resource(api, document["apiVersion"], document["kind"])
    threads = [
        threading.Thread(
            target=_watch, args=(api, api_version, kind, namespace, arrivals, stop, began), daemon=True
        )
        for api_version, kind in KINDS
    ]
    for thread in threads:
        thread.start()
    received: list[Arrival] = []
    try:
        began.wait(timeout=OPEN_SECONDS)
        started = time.monotonic()
        waiting = {
            each.name for each in kube.apply(api, documents, namespace=namespace) if each.kind == "Deployment"
        }
        deadline = started + timeout
        while time.monotonic() < deadline:
            try:
                arrival = arrivals.get(timeout=QUIET)
            except queue.Empty:
                if not waiting:
                    break
                continue
            received.append(arrival)
            each = arrival[2]
            if each["kind"] == "Deployment" and ready([each]).done:
                waiting.discard(each["metadata"]["name"])
    finally:
        stop.set()
        began.abort()
        for thread in threads:
            thread.join(timeout=SILENCE_SECONDS)
    return moments(received, started)


def _watch(
    api: ApiClient,
    api_version: str,
    kind: str,
    namespace: str,
    arrivals: queue.Queue[Arrival],
    stop: threading.Event,
    began: threading.Barrier,
) -> None:
    """Put the changes of one kind into `arrivals` until `stop`; each watch is short, so that `stop` is soon
    seen.
    """
    path = resource(api, api_version, kind).path(namespace)
    version = kube.request(api, "GET", path)["metadata"]["resourceVersion"]
    first = True

    def opened() -> None:
        if first:
            began.wait(timeout=OPEN_SECONDS)  # the story begins when all watches are open

    while not stop.is_set():
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
        try:
            for event in stream(api, path, query=query, timeout=SILENCE_SECONDS, opened=opened):
                if event["type"] == "ERROR":
                    return
                version = event["object"]["metadata"]["resourceVersion"]
                each = {"apiVersion": api_version, "kind": kind, **event["object"]}
                arrivals.put((time.monotonic(), event["type"], each))
        except (LabsError, threading.BrokenBarrierError):
            return
        first = False


def moments(arrivals: Sequence[Arrival], started: float) -> list[Moment]:
    """Turn arrivals into a story: who wrote what, without the writes that change nothing a reader would
    notice.

    Watches of different kinds race each other, so the order is that of the writes: resourceVersion is one
    counter for the whole store (comparable since KEP-5504). A write happened before all later ones arrived,
    hence the times.
    """
    ordered = sorted(arrivals, key=lambda arrival: int(arrival[2]["metadata"]["resourceVersion"]))
    latest = [at for at, _, _ in ordered]
    for place in range(len(latest) - 2, -1, -1):
        latest[place] = min(latest[place], latest[place + 1])
    before: dict[str, Object] = {}
    told: list[Moment] = []
    for at, (_, change, each) in zip(latest, ordered, strict=True):
        uid = each["metadata"]["uid"]
        for who, what in _tell(change, before.get(uid), each):
            told.append(Moment(round(max(0.0, at - started), 3), who, what))
        before[uid] = each
    began = next((moment.at for moment in told if moment.lane == "you"), 0.0)
    return [replace(moment, at=round(max(0.0, moment.at - began), 3)) for moment in told]


def _tell(change: str, before: Object | None, now: Object) -> list[tuple[str, str]]:
    """Who did what, as (lane, words); empty where nothing worth telling changed."""
    kind, name, status = now["kind"], now["metadata"]["name"], now.get("status") or {}
    old = (before or {}).get("status") or {}
    if kind == "Event":
        who = now.get("reportingComponent") or (now.get("source") or {}).get("component") or "unknown"
        # The controllers' own events repeat the writes seen here; those of the node tell what no write shows.
        if who != "kubelet" or change != "ADDED":
            return []
        return [("kubelet", f"event {now['reason']}: {now['message']}")]
    if change == "DELETED":
        return [("api server", f"{kind} {name} is gone")]
    if kind == "Deployment":
        if change == "ADDED":
            return [("you", f"Deployment {name} is stored, {_pods(now['spec'].get('replicas', 1))} wanted")]
        counts = [
            (key, status.get(key, 0)) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
        ]
        if counts != [(key, old.get(key, 0)) for key, _ in counts]:
            words = ", ".join(f"{count} {key.removesuffix('Replicas')}" for key, count in counts)
            return [("deployment controller", f"writes the status of Deployment {name}: {words}")]
        return []
    if kind == "ReplicaSet":
        if change == "ADDED":
            return [("deployment controller", f"creates ReplicaSet {name}")]
        counts = [(key, status.get(key, 0)) for key in ("replicas", "readyReplicas")]
        if counts != [(key, old.get(key, 0)) for key, _ in counts]:
            words = f"{counts[0][1]} made, {counts[1][1]} ready"
            return [("replicaset controller", f"writes the status of ReplicaSet {name}: {words}")]
        return []
    told = []
    if change == "ADDED":
        told.append(("replicaset controller", f"creates Pod {name}, on no node yet"))
    node = now["spec"].get("nodeName")
    if node and not ((before or {}).get("spec") or {}).get("nodeName"):
        told.append(("scheduler", f"binds Pod {name} to {node}"))
    if (state := _state(status)) and state != _state(old):
        told.append(("kubelet", f"writes the status of Pod {name}: {state}"))
    return told


def _pods(count: int) -> str:
    return f"{count} Pod" + ("" if count == 1 else "s")


def _state(status: Mapping[str, Any]) -> str:
    """A Pod's state in a few words: what its containers do, and whether it is Ready."""
    words = []
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        if "waiting" in state:
            words.append(f"container {container['name']} waits ({state['waiting'].get('reason', '')})")
        elif "running" in state:
            words.append(f"container {container['name']} runs")
        elif "terminated" in state:
            words.append(f"container {container['name']} has ended ({state['terminated'].get('exitCode')})")
    if not words:
        return ""
    if status.get("podIP"):
        words.append(f"address {status['podIP']}")
    conditions = {entry["type"]: entry["status"] for entry in status.get("conditions") or []}
    words.append("Ready" if conditions.get("Ready") == "True" else "not Ready")
    return ", ".join(words)
