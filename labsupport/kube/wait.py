"""The one way to wait for the cluster: watch a condition with a deadline, say what is seen, and why it did
not come.

List, then watch from the list's resourceVersion (Kubernetes API concepts, "Efficient detection of
changes"). A watch that ends, breaks or has expired (410) is taken up again; that loses no change that
matters, since conditions are about state and not about events.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport.errors import LabsError
from labsupport.kube.client import Refused, Unreachable, request, stream
from labsupport.kube.objects import Applied, Object, resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

PROGRESS_INTERVAL = 4.0  # seconds; a person must hear something at least every 5
RETRY_INTERVAL = 0.3  # seconds between attempts to reach an API server that does not answer


@dataclass(frozen=True)
class Target:
    """What is watched: the object `name`, or with an empty name all objects that match `labels`."""

    api_version: str
    kind: str
    name: str = ""
    namespace: str = ""
    labels: str = ""

    def __str__(self) -> str:
        what = f"{self.kind} {self.name}" if self.name else f"{self.kind} objects"
        if self.labels:
            what += f" with {self.labels}"
        return what + (f" in {self.namespace}" if self.namespace else "")


@dataclass(frozen=True)
class Seen:
    """What a condition makes of the objects: is it met, can it never be met any more, and what was seen, in
    words.
    """

    done: bool
    text: str
    failed: bool = False


Condition = Callable[[list[Object]], Seen]
Progress = Callable[[str], None]


class TimedOut(LabsError):
    """The condition was not met in time, or can no longer be; `seen` is what was seen last."""

    def __init__(self, what: str, seen: Seen, objects: list[Object]) -> None:
        super().__init__(
            what, fix="labs status shows the cluster; the lines above say what the object waits for"
        )
        self.seen = seen
        self.objects = objects


def until(
    api: ApiClient, target: Target, condition: Condition, *, timeout: float, progress: Progress | None = None
) -> list[Object]:
    """Return the objects once `condition` holds for them. `timeout` is in seconds.

    `progress` is called with what is seen: at each change, and at least every 5 s.
    Errors: TimedOut (a LabsError) with what was seen last and why: conditions, containers, events, the end
    of logs.
    """
    deadline = time.monotonic() + timeout
    seen = Seen(False, f"{target} was not seen yet")
    objects: list[Object] = []
    last_report = time.monotonic()
    last_text = ""
    for state in _states(api, target, deadline):
        if isinstance(state, Unreachable):
            seen = Seen(False, state.what)
        else:
            objects = state
            seen = condition(objects)
        if seen.done:
            return objects
        if seen.failed:
            break
        if progress and (seen.text != last_text or time.monotonic() - last_report >= PROGRESS_INTERVAL):
            progress(seen.text)
            last_report, last_text = time.monotonic(), seen.text
    from labsupport.kube.reasons import explain

    ended = "cannot become ready" if seen.failed else f"was not ready after {timeout:g} s"
    lines = [f"{target} {ended}: {seen.text}"]
    lines += [f"  {line}" for each in objects[:3] for line in explain(api, each)]
    raise TimedOut("\n".join(lines), seen, objects)


def _states(api: ApiClient, target: Target, deadline: float) -> Iterator[list[Object] | Unreachable]:
    """The watched objects after each change, and at least every PROGRESS_INTERVAL, until `deadline`."""
    while True:
        try:
            yield from _watch(api, target, deadline)
        except Unreachable as error:
            yield error
        except Refused as error:
            if error.status not in (410, 429, 500, 503):
                raise
            yield Unreachable(error.what)
        if time.monotonic() >= deadline:
            return
        time.sleep(min(RETRY_INTERVAL, max(0.0, deadline - time.monotonic())))


def _watch(api: ApiClient, target: Target, deadline: float) -> Iterator[list[Object]]:
    """One list and the watches after it; returns when the deadline is reached or the list is too old."""
    path = resource(api, target.api_version, target.kind).path(target.namespace)
    query = {}
    if target.name:
        query["fieldSelector"] = f"metadata.name={target.name}"
    if target.labels:
        query["labelSelector"] = target.labels
    answer = request(api, "GET", path, query=query)
    version = answer["metadata"]["resourceVersion"]
    identity = {"apiVersion": target.api_version, "kind": target.kind}
    objects = {item["metadata"]["uid"]: identity | item for item in answer["items"]}
    yield list(objects.values())
    while (left := deadline - time.monotonic()) > 0:
        # The server ends each watch before the next progress line is due; going on costs one request.
        seconds = max(1, min(int(PROGRESS_INTERVAL), int(left + 0.999)))
        watch = query | {
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "true",
        }
        started = time.monotonic()
        for event in stream(api, path, query=watch, timeout=seconds + 5):
            changed = event["object"]
            if event["type"] == "ERROR":
                if changed.get("code") == 410:
                    return  # expired: list again
                raise Refused(changed.get("code", 500), changed.get("reason", ""), changed.get("message", ""))
            version = changed["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                objects.pop(changed["metadata"]["uid"], None)
            else:
                objects[changed["metadata"]["uid"]] = identity | changed
            yield list(objects.values())
            if time.monotonic() >= deadline:
                return
        yield list(objects.values())
        if time.monotonic() - started < RETRY_INTERVAL:
            time.sleep(RETRY_INTERVAL)  # a server that hangs up at once must not be asked in a tight loop


def gone(objects: list[Object]) -> Seen:
    """Met when there is no such object any more."""
    if not objects:
        return Seen(True, "gone")
    held = [finalizer for each in objects for finalizer in each["metadata"].get("finalizers") or []]
    held += [finalizer for each in objects for finalizer in (each.get("spec") or {}).get("finalizers") or []]
    return Seen(False, "still there" + (f", held by the finalizers {', '.join(held)}" if held else ""))


def condition_is(kind: str, status: str = "True") -> Condition:
    """Met when status.conditions of a single object holds `kind` with `status`."""

    def check(objects: list[Object]) -> Seen:
        if not objects:
            return Seen(False, "there is no such object")
        for entry in (objects[0].get("status") or {}).get("conditions") or []:
            if entry["type"] == kind:
                text = f"{kind} is {entry['status']}"
                detail = ": ".join(entry[key] for key in ("reason", "message") if entry.get(key))
                return Seen(entry["status"] == status, text + (f" ({detail})" if detail else ""))
        return Seen(False, f"it has no condition {kind} yet")

    return check


def ready(objects: list[Object]) -> Seen:
    """Met when each object is what its kind calls ready, read from settled state (observedGeneration
    reached).
    """
    if not objects:
        return Seen(False, "there is no such object")
    verdicts = [_ready_one(each) for each in objects]
    failed = [verdict for verdict in verdicts if verdict.failed]
    waiting = [verdict for verdict in verdicts if not verdict.done]
    return failed[0] if failed else waiting[0] if waiting else verdicts[0]


def _ready_one(each: Object) -> Seen:
    kind, spec, status = each["kind"], each.get("spec") or {}, each.get("status") or {}
    if kind in ("Deployment", "StatefulSet", "DaemonSet"):
        if status.get("observedGeneration", 0) < each["metadata"].get("generation", 0):
            return Seen(False, "its controller has not seen the newest spec yet")
        if kind == "DaemonSet":
            # No node at all is not "ready": the controller has not been told of nodes yet.
            wanted = status.get("desiredNumberScheduled", 0) or 1
            have, updated = status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)
        else:
            wanted = spec.get("replicas", 1)
            have, updated = status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
            old = status.get("replicas", 0) - updated
            if have >= wanted and updated >= wanted and old > 0:
                return Seen(False, f"{old} Pods of an older version are still there")
        for entry in status.get("conditions") or []:
            if entry["type"] == "Progressing" and entry.get("reason") == "ProgressDeadlineExceeded":
                return Seen(False, entry.get("message", "its progress deadline is exceeded"), failed=True)
        return Seen(min(have, updated) >= wanted, f"{have} of {wanted} Pods are ready")
    if kind == "Pod":
        if status.get("phase") in ("Succeeded", "Failed"):
            return Seen(False, f"it has ended ({status['phase']})", failed=True)
        return condition_is("Ready")([each])
    if kind == "Job":
        for entry in status.get("conditions") or []:
            if entry["type"] == "Failed" and entry["status"] == "True":
                return Seen(False, f"it failed ({entry.get('reason', '')})", failed=True)
        return condition_is("Complete")([each])
    if kind == "Namespace":
        phase = status.get("phase", "unknown")
        return Seen(phase == "Active", f"its phase is {phase}")
    if kind == "Node":
        return condition_is("Ready")([each])
    return Seen(True, "it exists")


def until_ready(
    api: ApiClient,
    applied: Iterable[tuple[str, Applied] | Target],
    *,
    timeout: float,
    progress: Progress | None = None,
) -> None:
    """Wait until each target is ready as its kind means it; `timeout` (seconds) is for all together.

    A target is a Target, or a pair of apiVersion and what `apply` returned. Errors: as `until`.
    """
    deadline = time.monotonic() + timeout
    for entry in applied:
        target = (
            entry
            if isinstance(entry, Target)
            else Target(entry[0], entry[1].kind, entry[1].name, entry[1].namespace)
        )
        say = _named(progress, target) if progress else None
        until(api, target, ready, timeout=max(1.0, round(deadline - time.monotonic(), 1)), progress=say)


def _named(progress: Progress, target: Target) -> Progress:
    return lambda text: progress(f"{target}: {text}")


def last_seen(error: LabsError) -> Any:
    """What a wait saw last, as text, for records that keep no exception."""
    return error.seen.text if isinstance(error, TimedOut) else error.what
