"""What goes through the mesh, as the control plane tells it: the topology, its page, requests as they end."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.execute import execute, follow
from labsupport.mesh import names
from labsupport.mesh.admin import look

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

HERE = f"http://127.0.0.1:{names.LOOK}"  # in a Pod of the control plane
Line = dict[str, Any]


def topology(api: ApiClient, seconds: int = 60) -> list[dict[str, Any]]:
    """Who called whom in the last `seconds`, as each replica says it (mesh/telemetry/topology.py).

    Errors: LabsError where no control plane answers.
    """
    return list(look.ask(api, f"/topology?seconds={seconds}").values())


def pages(api: ApiClient) -> Callable[[str], bytes]:
    """What fetches a path of the page from a control plane: the one that answered before, while it is there.

    Where there are several, a page shows what is reported to one of them.
    """
    pods: list[str] = []

    def fetch(path: str) -> bytes:
        if not pods:
            pods.append(look.controls(api)[0]["metadata"]["name"])
        command = ["curl", "-sSg", "--fail", "--max-time", "10", f"{HERE}{path}"]
        try:
            return execute(api, names.SYSTEM, pods[0], command, timeout=15).encode()
        except LabsError:
            pods.clear()
            raise

    return fetch


def tap(api: ApiClient, wanted: Mapping[str, str]) -> Iterator[Line]:
    """Requests and connections as they end; `wanted`: from, to, path, status, limit (see mesh/telemetry/tap.py).

    Ends with the last replica's answer: after `limit` lines of each, or when the control plane goes.
    Errors: LabsError where none answers.
    """
    query = urlencode({name: value for name, value in wanted.items() if value})
    pods = [each["metadata"]["name"] for each in look.controls(api)]
    said: queue.Queue[Line | LabsError | None] = queue.Queue(10_000)
    stop = threading.Event()

    def run(pod: str) -> None:
        try:
            command = ["curl", "-sSgN", "--fail", f"{HERE}/tap?{query}"]
            for line in follow(api, names.SYSTEM, pod, command, stopped=stop.is_set):
                if line:
                    said.put(json.loads(line))
        except LabsError as error:
            said.put(error)
        finally:
            said.put(None)

    for pod in pods:
        threading.Thread(target=run, args=(pod,), name=f"labs tap {pod}", daemon=True).start()
    open_ = len(pods)
    try:
        while open_:
            found = said.get()
            if found is None:
                open_ -= 1
            elif isinstance(found, LabsError):
                if open_ == 1 or isinstance(found, kube.Unreachable):
                    raise found
            else:
                yield found
    finally:
        stop.set()
