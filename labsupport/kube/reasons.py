"""Why an object is not what it should be: its conditions, its Pods' containers, its events, the end of a log.

Used when a wait has timed out, so nothing here may fail or take long: what cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labsupport.errors import LabsError
from labsupport.kube.client import request
from labsupport.kube.objects import Object, list_objects
from labsupport.patience import patient

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

LOG_LINES = 5
EVENTS = 4
READ_TIMEOUT = patient(3.0)  # seconds for one log


def explain(api: ApiClient, each: Object) -> list[str]:
    """Lines that say what an object and its Pods wait for; empty when nothing can be told."""
    try:
        lines = list(_conditions(each)) + list(_events(api, each))
        for pod in _pods(api, each)[:2]:
            if pod is not each:
                lines.append(f"Pod {pod['metadata']['name']}:")
                lines += [f"  {line}" for line in (*_conditions(pod), *_events(api, pod))]
            lines += [f"  {line}" for line in _containers(api, pod)]
    except LabsError as error:
        return [f"(more could not be read: {error.what})"]
    return lines


def _conditions(each: Object) -> Iterator[str]:
    for entry in (each.get("status") or {}).get("conditions") or []:
        if entry["status"] != "True" and entry.get("message"):
            yield f"{entry['type']} is {entry['status']}: {entry.get('reason', '')}: {entry['message']}"


def _events(api: ApiClient, each: Object) -> Iterator[str]:
    metadata = each["metadata"]
    events = list_objects(
        api,
        "v1",
        "Event",
        metadata.get("namespace", "default"),
        fields=f"involvedObject.uid={metadata['uid']}",
    )
    events.sort(key=event_time)
    for event in [event for event in events if event.get("type") != "Normal"][-EVENTS:]:
        yield f"event {event.get('reason', '')}: {event.get('message', '').strip()}"


def event_time(event: Object) -> str:
    """When an event last happened, as RFC 3339 text; the API has four fields for it, by age of the
    reporter.
    """
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )


def _pods(api: ApiClient, each: Object) -> list[Object]:
    if each["kind"] == "Pod":
        return [each]
    labels = ((each.get("spec") or {}).get("selector") or {}).get("matchLabels")
    if each["kind"] not in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job") or not labels:
        return []
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    pods = list_objects(api, "v1", "Pod", each["metadata"]["namespace"], labels=selector)
    return [pod for pod in pods if not _is_ready(pod)]


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def _containers(api: ApiClient, pod: Object) -> Iterator[str]:
    status = pod.get("status") or {}
    for container in (status.get("initContainerStatuses") or []) + (status.get("containerStatuses") or []):
        name, state = container["name"], container.get("state") or {}
        if waiting := state.get("waiting"):
            yield f"container {name} waits: {waiting.get('reason', '')}: {waiting.get('message', '')}".rstrip(
                ": "
            )
        if ended := state.get("terminated") or (container.get("lastState") or {}).get("terminated"):
            if ended.get("exitCode"):
                yield f"container {name} ended with {ended['exitCode']} ({ended.get('reason', '')})"
            for line in _log_tail(api, pod, name, previous="terminated" not in state):
                yield f"    {line}"


def _log_tail(api: ApiClient, pod: Object, container: str, *, previous: bool) -> list[str]:
    metadata = pod["metadata"]
    try:
        text = request(
            api,
            "GET",
            f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log",
            query={
                "container": container,
                "tailLines": str(LOG_LINES),
                "previous": "true" if previous else "false",
            },
            timeout=READ_TIMEOUT,
        )
    except LabsError:
        return []
    return str(text).strip().splitlines()[-LOG_LINES:]
