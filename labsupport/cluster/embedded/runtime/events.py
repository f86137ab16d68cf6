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
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labsupport.cluster.embedded.runtime.config import Api
from labsupport.cluster.embedded.runtime.cri import api_pb2 as cri

REASON = "ContainersLost"
COMPONENT = "labs-runtime"
LIMIT = (
    120.0  # seconds in which the API server must have come back; after a restart of the node it comes last
)
PAUSE = 1.0  # seconds between two tries
TIMEOUT = 10.0  # seconds for one


@dataclass(frozen=True)
class Lost:
    """A Pod, some of whose running containers ended with what held them."""

    namespace: str
    pod: str
    uid: str
    containers: tuple[str, ...]


def lost(config: cri.PodSandboxConfig, containers: Sequence[str]) -> Lost:
    """The Pod of a sandbox and the names of its lost containers."""
    metadata = config.metadata
    return Lost(metadata.namespace, metadata.name, metadata.uid, tuple(containers))


def event_of(found: Lost, message: str) -> dict[str, Any]:
    """The Event (v1) that says so."""
    moment = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{found.pod}.{secrets.token_hex(8)}", "namespace": found.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": found.namespace,
            "name": found.pod,
            "uid": found.uid,
        },
        "type": "Warning",
        "reason": REASON,
        "message": f"{message}: {', '.join(found.containers)} ended",
        "source": {"component": COMPONENT, "host": socket.gethostname()},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def tell(api: Api, pods: Sequence[Lost], message: str) -> threading.Thread:
    """Write one event for each Pod, in a thread of its own that waits for the API server for up to LIMIT seconds."""
    thread = threading.Thread(
        target=_write, args=(api, [event_of(pod, message) for pod in pods]), daemon=True
    )
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
