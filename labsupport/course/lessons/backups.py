"""Back-ups and restores of a lab's Quorums: waited for, and what is then in both compared. Used by lab O5."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.cluster import quorum as operator
from labsupport.course.lessons.quorums import CALL, Quorum
from labsupport.course.views import Note, Table
from labsupport.kube.execute import execute
from labsupport.patience import patient

if TYPE_CHECKING:
    from labsupport.course.context import Context

DONE = patient(90.0)  # seconds for a back-up or a restore, with the start of a new Quorum; it takes about 15


def copied(lab: Context, kind: str, name: str) -> Note:
    """Wait until a QuorumBackup or QuorumRestore has ended, and tell how. Errors: TimedOut."""
    began = time.monotonic()

    def ended(objects: list[dict[str, Any]]) -> kube.Seen:
        status = (objects[0].get("status") or {}) if objects else {}
        phase = str(status.get("phase") or "not looked at yet")
        return kube.Seen(phase in ("Completed", "Failed"), f"{phase} {status.get('message') or ''}".rstrip())

    target = kube.Target(operator.API_VERSION, kind, name, lab.namespace)
    (found,) = kube.until(lab.api, target, ended, timeout=DONE)
    return Note(f"{kind} {name}: {ended([found]).text} after {time.monotonic() - began:.0f} s.")


def compare(lab: Context, key: str, **desks: str) -> Table:
    """What several Quorums hold under a key, and by which public key their signatures are verified. `desks`: for each
    Quorum the Pod from which it is spoken to.
    """
    rows = []
    for name, desk in desks.items():
        target = kube.Target("v1", "Pod", desk, lab.namespace)
        kube.until_ready(lab.api, [target], timeout=DONE)
        status = Quorum(lab.world, name).settle(DONE)["status"]
        words = ["--members", "3", "--timeout", f"{CALL:g}", "get", key]
        command = ["python3", "-m", "labsupport.quorum.desk", *words]
        said = json.loads(execute(lab.api, lab.namespace, desk, command, timeout=CALL + patient(10.0)))
        value = said.get("value") or said.get("error")
        rows.append((name, str(value), f"{status['publicKey'][:24]}...", str(status["keyEpoch"])))
    return Table("The same data?", ("Quorum", key, "Public key", "Epoch of its shares"), rows)
