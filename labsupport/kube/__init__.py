"""What everything here needs of the Kubernetes API: connect, read manifests, apply, delete, wait with a
reason.

Built on the official client, whose import takes up to a second: it is imported inside functions, so that
`labs --help` stays quick. Learners meet the same client in the labs.
"""

from __future__ import annotations

from labsupport.kube.apply import apply, delete
from labsupport.kube.client import (
    MERGE_PATCH,
    Answer,
    Refused,
    Unreachable,
    connect,
    connect_in_pod,
    exchange,
    patch,
    request,
)
from labsupport.kube.objects import Applied, get, list_objects, load
from labsupport.kube.pods import is_ready, ready_pods, standing_pods
from labsupport.kube.wait import Seen, Target, ready, until, until_ready

__all__ = [
    "MERGE_PATCH",
    "Answer",
    "Applied",
    "Refused",
    "Seen",
    "Target",
    "Unreachable",
    "apply",
    "connect",
    "connect_in_pod",
    "delete",
    "exchange",
    "get",
    "is_ready",
    "list_objects",
    "load",
    "patch",
    "ready",
    "ready_pods",
    "request",
    "standing_pods",
    "until",
    "until_ready",
]
