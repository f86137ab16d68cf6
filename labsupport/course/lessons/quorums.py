"""A Quorum in a lab's namespace: what it and its members say of themselves, requests to it, members that end.

A lab with `quorum = "installed"` in lab.toml has the operator on its cluster. Its start has the Quorum, and the Pod
`desk` (image labs.example/python:3.11, `sleep infinity`) with the Quorum's ConfigMap at /etc/quorum and its Secret at
/etc/quorum-tokens: from there clients speak to it (labsupport/quorum/desk.py). `world` is a lab's place in the cluster:
`lab.world` in a notebook, `probe.world` in a check.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.cluster import quorum as operator
from labsupport.course.views import Table
from labsupport.course.worlds.world import World
from labsupport.errors import LabsError
from labsupport.kube.execute import execute
from labsupport.patience import patient

SETTLED = patient(60.0)  # seconds for a Quorum to be as wanted; a new one of three takes about 8
DESK = "desk"
CALL = patient(10.0)  # seconds for one request from the desk

Object = dict[str, Any]


@dataclass(frozen=True)
class Quorum:
    """The Quorum `name` of a lab. Everything is asked anew at each call."""

    world: World
    name: str = "q"

    @property
    def _labels(self) -> str:
        return f"{operator.GROUP}/quorum={self.name}"

    @property
    def path(self) -> str:
        """Where the API server has it."""
        return f"/apis/{operator.API_VERSION}/namespaces/{self.world.namespace}/quorums/{self.name}"

    def object(self) -> Object | None:
        """The object as it is now; None if there is none."""
        return kube.get(self.world.api, operator.API_VERSION, "Quorum", self.name, self.world.namespace)

    def settle(self, seconds: float = SETTLED) -> Object:
        """Wait until all its Pods are ready and it is as its spec wants it.

        Pods first: what the operator says of a member that has just ended is older by up to a second. Errors: TimedOut,
        with what was seen last.
        """
        until, size = time.monotonic() + seconds, ((self.object() or {}).get("spec") or {}).get("size")

        def all_ready(pods: list[Object]) -> kube.Seen:
            ready = sum(map(kube.is_ready, pods))
            return kube.Seen(ready == len(pods) == size, f"{ready} of {size} members are ready")

        pods = kube.Target("v1", "Pod", namespace=self.world.namespace, labels=self._labels)
        kube.until(self.world.api, pods, all_ready, timeout=seconds)
        target = kube.Target(operator.API_VERSION, "Quorum", self.name, self.world.namespace)
        left = max(1.0, until - time.monotonic())
        (found,) = kube.until(self.world.api, target, operator.settled, timeout=left)
        return found

    def edit(self, **spec: Any) -> None:
        """Change what is wanted of it. Errors: Refused."""
        kube.patch(self.world.api, self.path, {"spec": spec})

    # --- its members

    def pods(self) -> list[Object]:
        """The members' Pods, by name."""
        found = kube.list_objects(self.world.api, "v1", "Pod", self.world.namespace, labels=self._labels)
        return sorted(found, key=lambda each: str(each["metadata"]["name"]))

    def statuses(self, members: int = 3) -> dict[str, Object | None]:
        """What each member says of itself (GET /v1/status), by name; None for one that does not answer."""
        return dict(self.ask("status", members=members))

    def kill(self, pod: str) -> None:
        """End a member's Pod without notice; another takes its name, and its volume. Errors: Refused."""
        path = f"/api/v1/namespaces/{self.world.namespace}/pods/{pod}"
        kube.request(self.world.api, "DELETE", path, body={"gracePeriodSeconds": 0})

    # --- its clients

    def put(self, key: str, value: str) -> Object:
        """Write; {"revision"}, or {"error", "status"}."""
        return self.ask("put", key, value)

    def get(self, key: str, *, stale: bool = False, only: str = "") -> Object:
        """Read; {"value", "revision"}, or {"error", "status"}. `stale`: what the member `only` has, asking nobody."""
        return self.ask("get", key, *(["--stale"] if stale else []), only=only)

    def sign(self, text: str) -> Object:
        """Have it sign; {"signature", "public_key", "signers"}, in hexadecimal, or {"error", "status"}."""
        return self.ask("sign", text)

    def ask(self, *words: str, only: str = "", members: int = 3, timeout: float = CALL) -> Object:
        """What the desk says to a command of labsupport/quorum/desk.py. Errors: LabsError where there is no desk, or
        it does not answer.
        """
        options = [
            "--members",
            str(members),
            "--timeout",
            f"{timeout:g}",
            *(["--only", only] if only else []),
        ]
        command = ["python3", "-m", "labsupport.quorum.desk", *options, *words]
        said = execute(self.world.api, self.world.namespace, DESK, command, timeout=timeout + patient(10.0))
        try:
            found: Object = json.loads(said)
        except ValueError as error:
            raise LabsError(f"The desk did not answer: {said!r}", fix="lab.reset() makes it anew") from error
        return found


def members(world: World, name: str = "q") -> Table:
    """The members of a Quorum and what each of them says of itself now."""
    rows = []
    for pod, said in Quorum(world, name).statuses().items():
        if said is None:
            rows.append((pod, "no answer", "", "", "", ""))
            continue
        voters = said["voters"]
        reached = sum(bool(each["reachable"]) for each in voters)
        leader = (said["leader"] or {}).get("name") or "nobody"
        share = "yes" if said["key"]["holds_share"] else "no"
        rows.append((pod, str(said["role"]), str(said["term"]), leader, f"{reached} of {len(voters)}", share))
    columns = ("member", "role", "term", "leader", "reaches", "has a share")
    return Table(f"What the members of {name} say", columns, rows)


def conditions(world: World, name: str = "q") -> Table:
    """The conditions of a Quorum: what its operator says of it."""
    found = Quorum(world, name).object() or {}
    rows = [
        (kind, each["status"], each["reason"], each.get("message", ""))
        for kind, each in operator.conditions(found).items()
    ]
    return Table(f"Conditions of the Quorum {name}", ("type", "status", "reason", "message"), rows)
