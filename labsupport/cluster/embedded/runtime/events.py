"""Events about Pods that only the runtime can tell, written to the API server with the kubelet's own rights.

The kubelet sees that a container has ended, and says nothing about it; a person who looks at the Pod wants to know why.
Standard library only, as the rest of what runs in the node but for gRPC.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from labsupport.cluster.embedded.runtime.config import Api
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri

COMPONENT = "labs-runtime"
LIMIT = (
    120.0  # seconds in which the API server must have come back; after a restart of the node it comes last
)
PAUSE = 1.0  # seconds between two tries
TIMEOUT = 10.0  # seconds for one


def lost(pod: cri.PodSandboxMetadata, containers: Sequence[str], why: str) -> dict[str, Any]:
    """Some of a Pod's running containers ended with what held them."""
    return _event_of(pod, "ContainersLost", f"{why}: {', '.join(containers)} ended")


def one_id(pod: cri.PodSandboxMetadata, container: str, asked: Sequence[str]) -> dict[str, Any]:
    """A container asks for users or groups, which in a node with one id are shown and not kept apart."""
    return _event_of(
        pod,
        "OneId",
        f"container {container} asks for {', '.join(asked)}; this cluster has one user id of its machine. The user and "
        "the group are shown, but what belongs to root and to others is the container's own as well, and it is in no "
        "further group. `labs doctor` (ids) says how to have real ones",
    )


def _event_of(pod: cri.PodSandboxMetadata, reason: str, message: str) -> dict[str, Any]:
    """A warning (Event, v1) about a Pod."""
    moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{pod.name}.{secrets.token_hex(8)}", "namespace": pod.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": pod.namespace,
            "name": pod.name,
            "uid": pod.uid,
        },
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT, "host": socket.gethostname()},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def tell(api: Api, events: Sequence[dict[str, Any]]) -> threading.Thread:
    """Write events, in a thread of its own that waits for the API server for up to LIMIT seconds."""
    thread = threading.Thread(target=_write, args=(api, events), daemon=True)
    thread.start()
    return thread


def _write(api: Api, events: Sequence[dict[str, Any]]) -> None:
    deadline = time.monotonic() + LIMIT
    for event in events:
        while (refusal := _post(api, event)) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        if refusal:
            about = event["involvedObject"]
            print(
                f"cannot tell of {about['namespace']}/{about['name']}: {refusal}", file=sys.stderr, flush=True
            )


def _post(api: Api, event: dict[str, Any]) -> str:
    """Why it could not be written yet; "" where it was, or never can be since its namespace is gone."""
    # Imported here: they take 5 MB, and most clusters never need them.
    import ssl
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        f"{api.server}/api/v1/namespaces/{event['metadata']['namespace']}/events",
        data=json.dumps(event).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        context = ssl.create_default_context(cafile=api.authority)
        context.load_cert_chain(api.certificate, api.key)
        with urllib.request.urlopen(request, timeout=TIMEOUT, context=context):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return "" if error.code in (404, 409) else f"{error.code} {error.reason}"
    except OSError as error:
        return str(error)
