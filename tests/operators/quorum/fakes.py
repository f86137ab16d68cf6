"""A world without a cluster: an API server in a dictionary, a StatefulSet controller, and members in memory.

Time goes in `tick`s of one second. `crash_after` ends the operator right after its k-th write, whichever that is.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from labsupport.operators.quorum_operator import kinds, names, objects, parse, releases
from labsupport.operators.quorum_operator.kinds import Conflict, Kind, Object
from labsupport.operators.quorum_operator.observe import Later, Refused
from labsupport.operators.quorum_operator.observed import Member, Pod, Quorum

NAMESPACE = "lab"
STARTING = 4.0  # seconds until a Pod runs


class Crash(Exception):
    """The operator dies here."""


class Writes:
    """Counts the operator's writes, to the API server and to members."""

    def __init__(self) -> None:
        self.count, self.crash_after = 0, 0
        self.log: list[str] = []

    def done(self, what: str) -> None:
        self.count += 1
        self.log.append(what)
        if self.count == self.crash_after:
            raise Crash(what)


class FakeApi:
    """`kinds.Api` in memory; `used` is what RBAC would have been asked for."""

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.used: set[tuple[str, str, str]] = set()
        self.now = 1_000_000.0
        self._uids = itertools.count(1)

    def _use(self, call: str, kind: Kind, sub: str = "") -> None:
        plural = f"{kind.plural}/{sub}" if sub else kind.plural
        self.used |= {(kind.group, plural, verb) for verb in kinds.VERBS[call]}

    def put(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> Object:
        """Store an object as the API server does."""
        made = copy.deepcopy(dict(content))
        metadata = made["metadata"]
        metadata.setdefault("uid", f"uid-{next(self._uids)}")
        metadata.setdefault("generation", 1)
        metadata["creationTimestamp"] = at(self.now)
        if kind.namespaced:
            metadata["namespace"] = namespace
        self.objects[kind.plural, namespace if kind.namespaced else "", metadata["name"]] = made
        return made

    def of(self, kind: Kind) -> list[Object]:
        return [each for (plural, _, _), each in sorted(self.objects.items()) if plural == kind.plural]

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        self._use("get", kind)
        return self.objects.get((kind.plural, namespace, name))  # no copy: what reads does not write

    def list(self, kind: Kind, namespace: str, labels: str = "") -> list[Object]:
        self._use("list", kind)
        wanted = dict(each.split("=") for each in labels.split(",") if each)
        return [
            {"kind": kind.kind, **each}
            for each in self.of(kind)
            if wanted.items() <= (each["metadata"].get("labels") or {}).items()
        ]

    def create(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> bool:
        self._use("create", kind)
        if (kind.plural, namespace, content["metadata"]["name"]) in self.objects:
            return False
        self.put(kind, namespace, content)
        self.writes.done(f"create {kind.kind} {content['metadata']['name']}")
        return True

    def apply(self, kind: Kind, namespace: str, content: Mapping[str, Any]) -> None:
        self._use("apply", kind)
        before = self.objects.get((kind.plural, namespace, content["metadata"]["name"]))
        made = copy.deepcopy(dict(content))
        if before:
            made["metadata"]["uid"] = before["metadata"]["uid"]
        self.put(kind, namespace, made)
        self.writes.done(f"apply {kind.kind} {content['metadata']['name']}")

    def patch(self, kind: Kind, namespace: str, name: str, change: Mapping[str, Any], sub: str = "") -> None:
        self._use("patch", kind, sub)
        found = self.objects[kind.plural, namespace, name]
        found.update(merged(found, change))
        self.writes.done(f"patch {kind.kind} {name} {','.join(change.get('status') or change)}")

    def replace(self, kind: Kind, name: str, content: Mapping[str, Any], sub: str) -> None:
        self._use("replace", kind, sub)
        self.objects[kind.plural, "", name] = copy.deepcopy(dict(content))
        self.writes.done(f"replace {kind.kind} {name} {sub}")

    def delete(self, kind: Kind, namespace: str, name: str, uid: str = "") -> None:
        self._use("delete", kind)
        found = self.objects.get((kind.plural, namespace, name))
        if found is None:
            return
        if uid and found["metadata"]["uid"] != uid:
            raise Conflict("another uid")
        if kind in (kinds.PODS, kinds.CLAIMS):
            found["metadata"]["deletionTimestamp"] = "now"  # they go with the next tick
        else:
            del self.objects[kind.plural, namespace, name]
        self.writes.done(f"delete {kind.kind} {name}")


def at(seconds: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(before: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = dict(before)
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = merged(result.get(key) or {}, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Volume:
    """What a member has on disk."""

    def __init__(self, number: str) -> None:
        self.id, self.identity = f"{0xA00 + number:x}", f"identity-{number}"
        self.phase, self.epoch = "waiting", 0  # epoch: of the share that it holds


class FakeMembers:
    """`observe.Members`: all members at once, with one log that is what a majority of them has."""

    def __init__(self, api: FakeApi, writes: Writes) -> None:
        self.api, self.writes = api, writes
        self.volumes: dict[str, Volume] = {}  # by the claim's uid
        self.voters: dict[str, str] = {}
        self.learners: dict[str, list[Any]] = {}  # id: name, ticks until it has caught up
        self.head, self.term = "", 1
        self.key: dict[str, Any] = {"state": "none", "epoch": 0}
        self.running: list[Any] = []  # ticks left, the request
        self.ceremonies: list[str] = []  # those that made a key
        self.protocol = 1
        self.unreachable: set[str] = set()
        self.full: set[str] = set()
        self.applied = 0
        self._numbers = itertools.count(1)

    # What stands on disks, and who runs

    def volume(self, pod: str) -> Volume | None:
        """The volume of a Pod that runs."""
        found = self.api.objects.get((kinds.PODS.plural, NAMESPACE, pod))
        if found is None or found.get("claim") is None or "deletionTimestamp" in found["metadata"]:
            return None
        return self.volumes.setdefault(found["claim"], Volume(next(self._numbers)))

    def runs(self, number: str, name: str) -> bool:
        found = self.volume(name)
        return found is not None and found.id == number and name not in self.unreachable

    def alive(self) -> list[str]:
        return [each for each, name in self.voters.items() if self.runs(each, name)]

    def has_quorum(self) -> bool:
        return len(self.alive()) > len(self.voters) // 2

    def tick(self) -> None:
        """A second goes by: elections, catching up, ceremonies."""
        if not self.has_quorum():
            self.head = ""
            return
        if self.head and self.head not in self.alive():
            self.head = ""  # and a second later there is another
        elif not self.head:
            self.head, self.term = min(self.alive()), self.term + 1
        for number, entry in [*self.learners.items()]:
            if self.runs(number, entry[0]):
                entry[1] -= 1
                if entry[1] <= 0:
                    del self.learners[number]
                    self.voters[number] = entry[0]
        if self.running:
            self.running[0] -= 1
            if self.running[0] <= 0:
                self._end_ceremony(self.running[1])

    def _end_ceremony(self, asked: Mapping[str, Any]) -> None:
        self.running = []
        holders = [(each, self.voters.get(each, "")) for each in asked["holders"]]
        old = [
            each
            for each, name in self.voters.items()
            if self.runs(each, name) and self.volume(name).epoch == self.key["epoch"] > 0
        ]
        public = self.key.get("public")
        if not all(self.runs(*each) for each in holders) or (public and len(old) < self.key["threshold"]):
            self.key = {**self.key, "state": "failed", "ceremony": asked["ceremony"]}
            return
        if not public:
            self.ceremonies.append(asked["ceremony"])
        epoch = self.key["epoch"] + 1
        for _, name in holders:
            self.volume(name).epoch = epoch
        self.key = {
            "state": "ready",
            "ceremony": asked["ceremony"],
            "epoch": epoch,
            "threshold": asked["threshold"],
            "public": public or f"public-{len(self.ceremonies)}",
            "holders": [name for _, name in holders],
            "blamed": [],
        }

    # The HTTP API

    def status(self, quorum: Quorum, pods: Iterable[Pod]) -> dict[str, Member]:
        found = {each.name: self._said(each) for each in pods if each.name not in self.unreachable}
        return {name: parse.member(said) for name, said in found.items() if said}

    def _said(self, pod: Pod) -> dict[str, Any] | None:
        volume = self.volume(pod.name)
        if volume is None:
            return None
        member = volume.phase == "member"
        lowest, highest = releases.PROTOCOLS[pod.release]
        return {
            "name": pod.name,
            "id": volume.id,
            "identity": volume.identity,
            "release": pod.release,
            "protocols": [lowest, highest],
            "protocol": self.protocol,
            "phase": volume.phase,
            "role": "leader" if volume.id == self.head else "follower",
            "term": self.term,
            "leader": None,
            "voters": [self._voter(each, name) for each, name in self.voters.items()] if member else [],
            "learners": [self._voter(each, entry[0]) for each, entry in self.learners.items()]
            if member
            else [],
            "key": {**self.key, "holds_share": volume.epoch == self.key["epoch"] > 0} if member else {},
            "disk": {"full": pod.name in self.full},
            "problems": [],
        }

    def _voter(self, number: str, name: str) -> dict[str, Any]:
        up = self.runs(number, name)
        return {"id": number, "name": name, "reachable": up, "caught_up": up}

    def ask(self, quorum: Quorum, pod: Pod, path: str, body: Mapping[str, Any]) -> None:
        volume = self.volume(pod.name)
        if volume is None or pod.name in self.unreachable:
            raise Later("no answer")
        what = path.rpartition("/")[2]
        if what == "bootstrap":
            self._bootstrap(volume, body)
        else:
            if volume.id != self.head or not self.has_quorum():
                raise Later("not the leader")
            getattr(self, f"_{what}")(body)
        self.writes.done(f"{what} {pod.name} {dict(body)}")

    def _bootstrap(self, volume: Volume, body: Mapping[str, Any]) -> None:
        told = {each["id"]: each["name"] for each in body["members"]}
        assert volume.id in told, "a member that was not decided on is told that it is one"
        if volume.phase == "waiting":
            volume.phase = "member"
            if not self.voters:
                self.voters = told
            assert self.first == told if hasattr(self, "first") else True, "two sets of first members"
            self.first = told

    def _key(self, body: Mapping[str, Any]) -> None:
        if body["ceremony"] == self.key.get("ceremony"):
            return
        if self.running:
            raise Later("a ceremony is under way")
        assert set(body["holders"]) <= set(self.voters), "a holder without a vote"
        assert len(body["holders"]) // 2 < body["threshold"] <= len(body["holders"])
        self.running = [2, dict(body)]
        self.key = {**self.key, "state": "running", "ceremony": body["ceremony"]}

    def _members(self, body: Mapping[str, Any]) -> None:
        if "remove" in body:
            self.voters.pop(body["remove"], None)
            self.learners.pop(body["remove"], None)
            for volume in self.volumes.values():
                if volume.id == body["remove"]:
                    volume.phase = "removed"
            if self.head == body["remove"]:
                raise AssertionError("the leader was removed")
            return
        added = body["add"]
        if added["id"] in self.voters or added["id"] in self.learners:
            return
        if self.learners:
            raise Refused("one at a time")
        self.learners[added["id"]] = [added["name"], 2]
        for volume in self.volumes.values():
            if volume.id == added["id"]:
                assert volume.phase == "waiting", "a removed member comes back on its old volume"
                volume.phase = "member"

    def _transfer(self, body: Mapping[str, Any]) -> None:
        assert body["to"] in self.alive()
        self.head, self.term = body["to"], self.term + 1

    def _protocol(self, body: Mapping[str, Any]) -> None:
        for number, name in self.voters.items():
            found = self.api.objects[kinds.PODS.plural, NAMESPACE, name]
            release = found["metadata"]["labels"][names.RELEASE]
            assert self.runs(number, name)
            assert releases.speaks(release, body["version"]), "a protocol that not all speak"
        assert body["version"] >= self.protocol
        self.protocol = body["version"]


class StatefulSetController:
    """Makes Pods and claims, as Kubernetes does with podManagementPolicy Parallel and updateStrategy OnDelete."""

    def __init__(self, api: FakeApi, members: FakeMembers) -> None:
        self.api, self.members = api, members

    def tick(self) -> None:
        api = self.api
        for kind in (kinds.PODS, kinds.CLAIMS):
            for each in api.of(kind):
                name = each["metadata"]["name"]
                if "deletionTimestamp" in each["metadata"] and not self._held(kind, each):
                    del api.objects[kind.plural, NAMESPACE, name]
        sets = {each["metadata"]["name"]: each for each in api.of(kinds.STATEFULSETS)}
        for name, content in sets.items():
            for ordinal in range(content["spec"]["replicas"]):
                self._make(name, ordinal, content)
        for each in api.of(kinds.PODS):
            self._run(each, sets)

    def _held(self, kind: Kind, content: Object) -> bool:
        uid = content["metadata"]["uid"]
        return kind is kinds.CLAIMS and any(each.get("claim") == uid for each in self.api.of(kinds.PODS))

    def _make(self, name: str, ordinal: int, content: Object) -> None:
        api, pod, claim = self.api, names.pod(name, ordinal), names.claim(name, ordinal)
        labels = content["spec"]["template"]["metadata"]["labels"]
        if (kinds.CLAIMS.plural, NAMESPACE, claim) not in api.objects:
            about = {
                "name": claim,
                "labels": content["spec"]["volumeClaimTemplates"][0]["metadata"]["labels"],
            }
            api.put(kinds.CLAIMS, NAMESPACE, {"metadata": about, "status": {"phase": "Bound"}})
        if (kinds.PODS.plural, NAMESPACE, pod) not in api.objects:
            api.put(kinds.PODS, NAMESPACE, {"metadata": {"name": pod, "labels": dict(labels)}, "status": {}})

    def _run(self, pod: Object, sets: Mapping[str, Object]) -> None:
        api, name = self.api, pod["metadata"]["name"]
        of = name.rpartition("-")[0]
        if of not in sets or names.ordinal(of, name) >= sets[of]["spec"]["replicas"]:
            api.objects.pop((kinds.PODS.plural, NAMESPACE, name))
            return
        claim = api.objects[kinds.CLAIMS.plural, NAMESPACE, names.claim(of, names.ordinal(of, name))]
        if pod["metadata"]["creationTimestamp"] > at(api.now - STARTING):
            return
        if pod.get("claim") is None and "deletionTimestamp" not in claim["metadata"]:
            pod["claim"] = claim["metadata"]["uid"]
            pod["status"] = {"podIP": f"10.0.0.{claim['metadata']['uid'].rpartition('-')[2]}"}
            return
        volume, members = self.members.volume(name), self.members
        up = volume is not None and volume.id in members.voters and members.has_quorum()
        broken = pod["metadata"]["labels"][names.RELEASE].endswith("broken")
        ready = up and not broken and name not in members.unreachable
        pod["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]


def quorum(name: str = "q", **spec: Any) -> Object:
    """A Quorum as the API server has it."""
    full = {"size": 3, "release": "1.0", "upgrade": {"backup": "Skip", "healthSeconds": 10}, **spec}
    return {"metadata": {"name": name, "uid": f"uid-of-{name}"}, "spec": full, "status": {}}


__all__ = [
    "NAMESPACE",
    "Crash",
    "FakeApi",
    "FakeMembers",
    "StatefulSetController",
    "Writes",
    "objects",
    "quorum",
]
