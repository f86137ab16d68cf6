"""A host: has a Service lead to the member of a Quorum that a learner's function names.

Four times a second each member is asked for its status. `leads(answers)` gets what each has said last, as a list of
`Answer`, and returns the name of the member that leads, or None for nobody; the EndpointSlice named like the host then
leads to that member's Pod, or nowhere. What the function raises changes nothing of it. Each change is one JSON record
on stdout: `record` (leads), `to`, `at`.

Setting: `quorum`, the Quorum's name. Its ConfigMap and Secret are mounted as in its members' Pods.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from labsupport import kube
from labsupport.operators import learner
from labsupport.operators.member_answer import Answer
from labsupport.quorum import configuration
from labsupport.quorum.client import Client, QuorumError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

CONFIG, TOKENS = Path("/etc/quorum"), Path("/etc/quorum-tokens")
PACE = 0.25  # seconds between two looks
PATIENCE = 1.0  # seconds for a member's answer; the look goes on without it
LIMIT = 5.0  # seconds for one call of the function before it is told that it takes long


def answer(said: Mapping[str, Any], age: float) -> Answer:
    """A member's status (GET /v1/status) as an Answer. A member that is none (yet, or any more) has no role."""
    voters = said["voters"]
    return Answer(
        name=str(said["name"]),
        age=age,
        role=str(said["role"]) if said["phase"] == "member" else "none",
        term=int(said["term"]),
        leader=str((said["leader"] or {}).get("name") or ""),
        voters=len(voters),
        reaches=sum(bool(each["reachable"]) for each in voters),
    )


class Members:
    """Asks the members of a Quorum, all at the same time, and remembers what each has said last."""

    def __init__(self, config: configuration.Config, token: str, authority: str) -> None:
        self._config, self._token, self._authority = config, token, authority
        self._pool = ThreadPoolExecutor(8)
        self._said: dict[str, tuple[float, Mapping[str, Any]]] = {}

    def answers(self, pods: Iterable[str]) -> list[Answer]:
        """What these members have said, and those that are gone; who has never said anything is left out."""
        for name, asked in {name: self._pool.submit(self._ask, name) for name in pods}.items():
            if (said := asked.result()) is not None:
                self._said[name] = time.monotonic(), said
        now = time.monotonic()
        return [answer(said, round(now - at, 2)) for at, said in self._said.values()]

    def _ask(self, name: str) -> Mapping[str, Any] | None:
        url = self._config.api(name)
        client = Client([url], self._token, self._authority, timeout=PATIENCE)
        try:
            return client.status(url)
        except (QuorumError, requests.RequestException):
            return None


def endpoints(pod: str, address: str) -> list[dict[str, Any]]:
    """The endpoints of a slice that leads to a Pod."""
    target = {"kind": "Pod", "name": pod}
    return [{"addresses": [address], "conditions": {"ready": True}, "targetRef": target}]


class Front:
    """The Service's EndpointSlice, written when whom it leads to has changed."""

    def __init__(self, api: ApiClient, namespace: str, name: str) -> None:
        self._api = api
        self._path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{name}"
        self._now: tuple[str, str] | None = None

    def lead(self, pod: str, address: str) -> bool:
        """Lead to a Pod, or with "" to nobody; whether that was a change. Errors: Refused, Unreachable."""
        wanted = (pod, address) if address else ("", "")
        if wanted == self._now:
            return False
        kube.patch(self._api, self._path, {"endpoints": endpoints(*wanted) if address else []})
        self._now = wanted
        return True


def main() -> int:
    """Run until the Pod ends. The namespace and the host's name are the arguments."""
    function = learner.load()
    namespace, name = sys.argv[1:3]
    api = kube.connect_in_pod()
    quorum = str(function.settings.get("quorum", "q"))
    token = (TOKENS / "client").read_text().strip()
    members = Members(configuration.read(CONFIG / "config.json"), token, str(CONFIG / "ca.crt"))
    front = Front(api, namespace, name)
    labels = f"quorum.labs.example/quorum={quorum}"
    for _ in learner.every(PACE):
        try:
            look(api, namespace, labels, function, members, front)
        except (kube.Refused, kube.Unreachable) as error:
            learner.tell(function.failure(error, "the host's own requests"))
        learner.ready()
    return 0


def look(
    api: ApiClient, namespace: str, labels: str, function: learner.Learner, members: Members, front: Front
) -> None:
    """One look at the members, and what follows from it. Errors: Refused, Unreachable."""
    addresses = {
        pod["metadata"]["name"]: str((pod.get("status") or {}).get("podIP") or "")
        for pod in kube.list_objects(api, "v1", "Pod", namespace, labels=labels)
    }
    answers = members.answers([each for each, address in addresses.items() if address])
    try:
        found = function(answers, limit=LIMIT)
    except Exception:  # it is recorded; the Service stays as it is
        return
    pod = found if isinstance(found, str) else ""
    if front.lead(pod, addresses.get(pod, "")):
        print(json.dumps({"record": "leads", "to": pod or None, "at": time.time()}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
