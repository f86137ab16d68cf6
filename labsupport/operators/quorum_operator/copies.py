"""Back-ups and restores: each is one Job, named after the object that asks for it, so that it is done once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from labsupport.operators.quorum_operator import kinds, names, objects, parse
from labsupport.operators.quorum_operator.kinds import Api, Kind, Object

WAITING, RUNNING, COMPLETED, FAILED = "Waiting", "Running", "Completed", "Failed"
DEADLINE = 300  # seconds for a Job, with what it waits for a leader


def job_name(found: Object) -> str:
    """The Job of a QuorumBackup or QuorumRestore."""
    return f"{found['metadata']['name']}-{'backup' if found['kind'] == 'QuorumBackup' else 'restore'}"


def plan(found: Object, quorum: Object | None, job: Object | None) -> tuple[Object | None, str, str]:
    """For an object, its Quorum and its Job, as far as they are there: a Job to make, a phase and a message. Pure."""
    phase = (found.get("status") or {}).get("phase", "")
    if phase in (COMPLETED, FAILED):
        return None, phase, found["status"].get("message", "")
    if job is not None:
        if not any(each.get("uid") == found["metadata"]["uid"] for each in _owners(job)):
            return None, FAILED, f"a Job {job['metadata']['name']} is there that is not of this object"
        return None, *_ended(job)
    if quorum is None:
        return None, WAITING, f"there is no Quorum {found['spec']['quorum']}"
    if not _available(quorum):
        return None, WAITING, f"the Quorum {found['spec']['quorum']} is not available"
    claim = found["spec"].get("claimName") or (quorum["spec"].get("backup") or {}).get("claimName")
    if not claim:
        return None, FAILED, "neither this object nor the Quorum's spec.backup names a volume (claimName)"
    return _job(found, quorum, claim), RUNNING, "its Job is made"


def _owners(job: Object) -> list[Object]:
    return list(job["metadata"].get("ownerReferences") or ())


def _available(quorum: Object) -> bool:
    said = (quorum.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Available" and each["status"] == "True" for each in said)


def _ended(job: Object) -> tuple[str, str]:
    for each in (job.get("status") or {}).get("conditions") or ():
        if each["status"] == "True" and each["type"] == "Complete":
            return COMPLETED, ""
        if each["status"] == "True" and each["type"] == "Failed":
            return FAILED, f"{each.get('reason', '')}: {each.get('message', '')}; see its Pod's log"
    return RUNNING, "its Job runs"


def _job(found: Object, quorum: Object, claim: str) -> Object:
    known, spec, name = parse.quorum(quorum), found["spec"], found["metadata"]["name"]
    is_backup = found["kind"] == "QuorumBackup"
    words = objects.backup_words(name) if is_backup else objects.restore_words(spec["backup"])
    owner = {
        "apiVersion": names.API_VERSION,
        "kind": found["kind"],
        "name": name,
        "uid": found["metadata"]["uid"],
        "controller": True,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(found),
            "namespace": found["metadata"]["namespace"],
            "labels": dict(names.PART_OF),
            "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": DEADLINE,
            "template": objects.job_pod(known, claim, words),
        },
    }


def reconcile(api: Api, kind: Kind, found: Object) -> str:
    """One round for a QuorumBackup or QuorumRestore; its phase. Errors: what `api` raises."""
    found = {"kind": kind.kind, **found}
    namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
    quorum = api.get(kinds.QUORUMS, namespace, found["spec"]["quorum"])
    job = api.get(kinds.JOBS, namespace, job_name(found))
    wanted, phase, message = plan(found, quorum, job)
    if wanted is not None:
        api.create(kinds.JOBS, namespace, wanted)
    before: dict[str, Any] = found.get("status") or {}
    said: dict[str, Any] = {"phase": phase, "message": message[:1024]}
    if phase == COMPLETED and "completed" not in before:
        said["completed"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    change = {key: value for key, value in said.items() if before.get(key) != value}
    if change:
        change["observedGeneration"] = found["metadata"].get("generation", 1)
        api.patch(kind, namespace, name, {"status": change}, "status")
    return phase
