"""An operator that dies right after its k-th write, once (`quorum_operator/mortality.py`); how much one has written.

One replica, replaced as a whole: the write is the k-th of the one that acts, and what goes on is the next container of
the same Pod, without a wait for the Lease. Two replicas and their election are what the other faults end.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from labsupport import kube
from labsupport.cluster.quorum import SYSTEM
from labsupport.cluster.quorumbench.place import OPERATOR, SETTLED, Place
from labsupport.operators.quorum_operator.mortality import VARIABLE
from labsupport.patience import patient

NAME = "quorum-operator"
PATH = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments/{NAME}"
SEEN = patient(6.0)  # seconds until the kubelet has told of a death
COUNT = re.compile(r"^quorum_operator_writes_total\{.*\} (\d+)$", re.MULTILINE)


def arm(here: Place, last: int) -> None:
    """From now on the operator is one that dies after its `last`-th write; 0: it lives. Waits until it acts."""
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate", "rollingUpdate": None},
        "template": {
            "metadata": {"annotations": {"labs.example/armed": secrets.token_hex(4)}},  # always another Pod
            "spec": {"containers": [{"name": "operator", "env": [{"name": VARIABLE, "value": str(last)}]}]},
        },
    }
    kube.request(
        here.api,
        "PATCH",
        PATH,
        body={"spec": spec},
        content_type="application/strategic-merge-patch+json",  # or the container's other fields would be lost
    )
    kube.until_ready(here.api, [kube.Target("apps/v1", "Deployment", NAME, SYSTEM)], timeout=SETTLED)
    kube.until(here.api, kube.Target("v1", "Pod", "", SYSTEM, OPERATOR), _alone, timeout=SETTLED)
    (pod,) = here.operators()

    def holds(objects: list[dict[str, Any]]) -> kube.Seen:
        holder = objects[0]["spec"].get("holderIdentity") if objects else None
        return kube.Seen(holder == pod, f"the Lease is {holder or 'nobody'}'s")

    lease = kube.Target("coordination.k8s.io/v1", "Lease", NAME, SYSTEM)
    kube.until(here.api, lease, holds, timeout=SETTLED)


def written(here: Place) -> int:
    """How many writes the operator that runs now has done."""
    (pod,) = here.operators()
    text = kube.request(
        here.api, "GET", f"/api/v1/namespaces/{SYSTEM}/pods/{pod}:7480/proxy/metrics", accept="*/*"
    )
    return sum(int(each) for each in COUNT.findall(str(text)))


def died(here: Place) -> bool:
    """Whether it has died since it was armed. The kubelet may tell a moment later."""

    def restarted(objects: list[dict[str, Any]]) -> kube.Seen:
        counts = [
            status["restartCount"]
            for each in objects
            for status in each.get("status", {}).get("containerStatuses", ())
        ]
        return kube.Seen(any(counts), f"restarts: {counts}")

    try:
        kube.until(here.api, kube.Target("v1", "Pod", "", SYSTEM, OPERATOR), restarted, timeout=SEEN)
    except kube.wait.TimedOut:
        return False
    return True


def disarm(here: Place) -> None:
    """Two replicas again that live."""
    arm(here, 0)
    kube.patch(here.api, PATH, {"spec": {"replicas": 2}})
    kube.until_ready(here.api, [kube.Target("apps/v1", "Deployment", NAME, SYSTEM)], timeout=SETTLED)


def _alone(objects: list[dict[str, Any]]) -> kube.Seen:
    return kube.Seen(len(objects) == 1, f"{len(objects)} Pods of the operator")
