"""Events of a Quorum: each time what it is at, or what is said of it, becomes another thing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from labsupport.errors import LabsError
from labsupport.operators.quorum_operator import kinds, names
from labsupport.operators.quorum_operator.kinds import Api, Conflict, Object
from labsupport.operators.quorum_operator.reconcile import Round

GOOD = {"Available": "True", "KeyReady": "True", "Degraded": "False", "UpgradeBlocked": "False"}


class Events:
    """Remembers what was said last of each Quorum, so that nothing is said twice in a row."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._said: dict[str, tuple[str, dict[str, str]]] = {}  # by uid: the last step, conditions' status

    def tell(self, quorum: Object, done: Round) -> None:
        """Make the Events of a round. That one cannot be made is no reason to stop."""
        uid = quorum["metadata"]["uid"]
        step, before = self._said.get(uid, ("", {}))
        now = {each.type: each.status for each in done.plan.conditions}
        told = [
            (each.reason, each.message, GOOD[each.type] == each.status)
            for each in done.plan.conditions
            if each.type in GOOD and before.get(each.type, each.status) != each.status
        ]
        action = done.plan.step
        said = f"{action.reason}: {action.message}" if action and action.action else step
        if action and action.action and said != step:
            told.append((action.reason, action.message, True))
        self._said[uid] = (said, now)
        for reason, message, good in told:
            try:
                self._api.create(
                    kinds.EVENTS, done.seen.quorum.namespace, event(quorum, reason, message, good)
                )
            except (LabsError, Conflict):
                return


def event(quorum: Object, reason: str, message: str, good: bool) -> Object:
    """One Event about a Quorum."""
    now = datetime.now(UTC)
    at, metadata = now.strftime("%Y-%m-%dT%H:%M:%SZ"), quorum["metadata"]
    mark = hashlib.sha256(f"{metadata['uid']}{reason}{message}{now.isoformat()}".encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{mark}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": names.API_VERSION,
            "kind": "Quorum",
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "reason": reason,
        "message": message[:1024],
        "type": "Normal" if good else "Warning",
        "source": {"component": names.OPERATOR},
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
