"""What lab O3 does with operators and looks at: calls of handlers, finalizers, an operator that is switched off."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.deploy import find
from labsupport.course.views import Note, Table
from labsupport.patience import patient

if TYPE_CHECKING:
    from labsupport.course.context import Context
    from labsupport.course.deploy import Deployed
    from labsupport.course.worlds.world import World

TIMEOUT = patient(30.0)  # seconds until an operator's Pods are gone, or work
REST_TIMEOUT = patient(25.0)  # seconds after which an operator that never rests is told of as it is
LEAVE_TIMEOUT = patient(10.0)  # seconds for a Flock that is being deleted
PACE = 0.2
Record = dict[str, Any]


def scale(world: World, name: str, replicas: int) -> None:
    """Switch an operator off (0) or on (1), and wait until nothing of it runs, or it works.

    Errors: LabsError says what was seen if that does not come to pass.
    """
    path = f"/apis/apps/v1/namespaces/{world.namespace}/deployments/{name}"
    kube.patch(world.api, path, {"spec": {"replicas": replicas}})
    if replicas:
        kube.until_ready(
            world.api, [kube.Target("apps/v1", "Deployment", name, world.namespace)], timeout=TIMEOUT
        )
        return
    pods = kube.Target("v1", "Pod", namespace=world.namespace, labels=f"labs.example/deployed={name}")
    kube.until(
        world.api, pods, lambda each: kube.Seen(not each, f"{len(each)} Pods are left"), timeout=TIMEOUT
    )


def switch(lab: Context, name: str, *, on: bool) -> Note:
    """Switch a deployed operator on or off."""
    if find(lab.world, name) is None:
        return Note(f"There is no operator {name} yet.")
    scale(lab.world, name, int(on))
    return Note(f"{name} is switched {'on' if on else 'off'}.")


def calls(operator: Deployed | None, about: str = "") -> list[Record]:
    """Which handlers were called, oldest first; those for the object `about` alone if it is given."""
    # One that is not ready is false, and has records all the same.
    records = operator.records() if operator is not None else []
    found = [each for each in records if each.get("record") == "handler"]
    return sorted(
        (each for each in found if about in ("", each["name"])), key=lambda each: float(each["began"])
    )


def rested(lab: Context, name: str, about: str = "", *, quiet: float = 1.0, least: int = 1) -> list[Record]:
    """The calls of an operator's handlers, once at least `least` were made and none came for `quiet` seconds."""
    operator = find(lab.world, name)
    deadline, found, since = time.monotonic() + REST_TIMEOUT, calls(operator, about), time.monotonic()
    while operator and time.monotonic() < deadline:
        if len(found) >= least and time.monotonic() - since >= quiet:
            break
        time.sleep(PACE)  # a Pod's log is read in one piece; what is awaited is that it stays as it is
        now = calls(operator, about)
        if len(now) != len(found):
            found, since = now, time.monotonic()
    return found


def refused(operator: Deployed | None) -> list[str]:
    """What the API server has refused to an operator, in its own words, oldest first; each once."""
    told = [
        each.message for each in (operator.errors() if operator else []) if each.message.startswith("403")
    ]
    return list(dict.fromkeys(told))


def refusals(lab: Context, name: str) -> Table:
    """What the API server has refused to a deployed operator since it was started."""
    rows = [(each,) for each in refused(find(lab.world, name))]
    return Table(f"Refused to {name}", ("the API server's answer",), rows or [("nothing",)])


def restart(lab: Context, name: str) -> Note:
    """Have an operator begin anew, and give it two seconds to try what it tries first."""
    if find(lab.world, name) is None:
        return Note(f"There is no operator {name} yet.")
    scale(lab.world, name, 0)
    scale(lab.world, name, 1)
    deadline = time.monotonic() + patient(2.0)
    while time.monotonic() < deadline and not refused(find(lab.world, name)):
        time.sleep(PACE)  # a Pod's log is read in one piece
    return Note(f"{name} has been restarted.")


def table(records: Sequence[Record], title: str = "Calls of handlers") -> Table:
    """One row for each call, with seconds since the first one."""
    began = min((float(each["began"]) for each in records), default=0.0)
    rows = [
        (
            f"{float(each['began']) - began:.1f}",
            str(each["handler"]),
            str(each["name"]),
            str(each["reason"] or "look"),
            str(each["retry"]),
            str(each["error"] or "done"),
        )
        for each in records
    ]
    return Table(title, ("s", "handler", "object", "reason", "retry", "outcome"), rows)


def flock(lab: Context, name: str) -> Record:
    """A Flock as it is now, or nothing."""
    return kube.get(lab.api, f"{lab.group}/v1", "Flock", name, lab.namespace) or {}


def book(lab: Context, name: str) -> Table:
    """The annotations of a Flock: what kopf has noted there."""
    noted = (flock(lab, name).get("metadata") or {}).get("annotations") or {}
    return Table(f"Annotations of the Flock {name}", ("annotation", "value"), [*sorted(noted.items())])


def held(lab: Context, name: str) -> Table:
    """Whether a Flock is being deleted, and who holds it."""
    found = flock(lab, name)
    meta = found.get("metadata") or {}
    rows = [
        ("is there", "yes" if found else "no"),
        ("metadata.deletionTimestamp", str(meta.get("deletionTimestamp", "none"))),
        ("metadata.finalizers", ", ".join(meta.get("finalizers") or []) or "none"),
    ]
    return Table(f"Flock {name}", ("what", "now"), rows)


def ask_to_delete(lab: Context, name: str) -> Note:
    """Send a DELETE, and tell what the answer was and what became of the Flock in the next two seconds."""
    path = f"/apis/{lab.group}/v1/namespaces/{lab.namespace}/flocks/{name}"
    if flock(lab, name):
        kube.request(lab.api, "DELETE", path, body={"propagationPolicy": "Background"})
    gone = _until_gone(lab, name, 2.0)
    return Note(
        f"DELETE was answered with 200. Two seconds later the Flock {name} is {'gone' if gone else 'there'}."
    )


def release(lab: Context, name: str) -> Note:
    """Take all finalizers off a Flock, as an administrator can."""
    if not flock(lab, name):
        return Note(f"There is no Flock {name}.")
    path = f"/apis/{lab.group}/v1/namespaces/{lab.namespace}/flocks/{name}"
    kube.patch(lab.api, path, {"metadata": {"finalizers": None}})
    return Note(f"The Flock {name} is {'gone' if _until_gone(lab, name, LEAVE_TIMEOUT) else 'there'}.")


def leave(lab: Context, *names: str) -> Note:
    """Delete Flocks, let their operators do their work, and take away the sheep that are left."""
    for name in names:
        if flock(lab, name):
            path = f"/apis/{lab.group}/v1/namespaces/{lab.namespace}/flocks/{name}"
            kube.request(lab.api, "DELETE", path, body={"propagationPolicy": "Background"})
    stayed = [name for name in names if not _until_gone(lab, name, LEAVE_TIMEOUT)]
    for name in stayed:
        release(lab, name)
    for name in names:  # the garbage collector may take half a minute to notice a kind that is new
        sheep = kube.list_objects(lab.api, "v1", "ConfigMap", lab.namespace, labels=f"flock={name}")
        kube.delete(
            lab.api,
            [{"apiVersion": "v1", "kind": "ConfigMap", **each} for each in sheep],
            namespace=lab.namespace,
        )
    return Note(
        f"Gone: {', '.join(names)}." + (f" Freed of finalizers: {', '.join(stayed)}." if stayed else "")
    )


def entries(lab: Context, name: str = "register") -> Note:
    """What stands in the register."""
    found = kube.get(lab.api, "v1", "ConfigMap", name, lab.namespace) or {}
    return Note("The register:", code=json.dumps(found.get("data") or {}, indent=1))


def erase(lab: Context, flock: str, name: str = "register") -> Note:
    """Strike a flock out of the register by hand."""
    path = f"/api/v1/namespaces/{lab.namespace}/configmaps/{name}"
    kube.patch(lab.api, path, {"data": {flock: None}})
    return entries(lab, name)


def entered(lab: Context, flock: str, name: str = "register") -> Note:
    """Wait until a flock stands in the register, and show it."""
    target = kube.Target("v1", "ConfigMap", name, lab.namespace)
    with contextlib.suppress(kube.wait.TimedOut):  # what stands there says it
        kube.until(
            lab.api,
            target,
            lambda each: kube.Seen(any(flock in (one.get("data") or {}) for one in each), "not entered yet"),
            timeout=LEAVE_TIMEOUT,
        )
    return entries(lab, name)


def gone(lab: Context, name: str) -> Note:
    """Wait until a Flock is gone."""
    return Note(f"The Flock {name} is {'gone' if _until_gone(lab, name, LEAVE_TIMEOUT) else 'there'}.")


def events(lab: Context, *names: str) -> Table:
    """The Events about Flocks: what an operator has told whoever looks."""
    found = kube.list_objects(lab.api, "v1", "Event", lab.namespace)
    told = [each for each in found if each["involvedObject"].get("name") in names]
    rows = [
        (each["involvedObject"]["name"], each["type"], each["reason"], str(each.get("message", "")))
        for each in sorted(told, key=lambda each: (each["involvedObject"]["name"], each["metadata"]["name"]))
    ]
    return Table("Events of Flocks", ("flock", "type", "reason", "message"), rows)


def conditions(lab: Context, *names: str) -> Table:
    """The conditions in the status of Flocks, beside the generation that each has now."""
    rows = []
    for name in names:
        found = flock(lab, name)
        for each in (found.get("status") or {}).get("conditions") or []:
            rows.append(
                (
                    *(name, str(found["metadata"]["generation"]), each["type"], each["status"]),
                    *(each.get("reason", ""), str(each.get("observedGeneration", ""))),
                )
            )
    return Table("Conditions", ("flock", "generation", "type", "status", "reason", "observed"), rows)


def _until_gone(lab: Context, name: str, seconds: float) -> bool:
    target = kube.Target(f"{lab.group}/v1", "Flock", name, lab.namespace)
    try:
        kube.until(lab.api, target, lambda each: kube.Seen(not each, "still there"), timeout=seconds)
    except kube.wait.TimedOut:
        return False
    return True
