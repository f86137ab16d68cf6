"""A Flock of a check's own within reach of a deployed shepherd: attacked, and looked at until the shepherd rests."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from labsupport import kube
from labsupport.course.deploy import Deployed, describe
from labsupport.course.exercise import Probe
from labsupport.course.lessons.shepherding import Finding, judge
from labsupport.errors import LabsError
from labsupport.kube.objects import Object

POLL = 1.0  # seconds between two looks at the journal; the flock itself is watched
IDLE = 0.8  # seconds without a change, after which a flock is taken to be left alone
PACE = 0.1
FAILURES = 3  # calls in a row that raised, after which no later one is expected to do better


@dataclass
class Attack:
    """The Flock `name`, and what can be done to it and to its sheep."""

    probe: Probe
    shepherd: Deployed
    name: str
    mark: float = field(default=0.0)  # of the journal's clock: what it told when something was done last

    def steal(self, number: int) -> None:
        """Delete a sheep."""
        self._note()
        kube.request(self.probe.api, "DELETE", f"{self._sheep_path}-{number}")

    def steal_any(self) -> None:
        """Delete one of the sheep that are there, whichever the shepherd makes first and whatever it calls them."""
        self._note()
        for each in self.sheep()[:1]:
            self._delete(f"/api/v1/namespaces/{self.probe.namespace}/configmaps/{each['metadata']['name']}")

    def edit(self, number: int, change: Object) -> None:
        """Change a sheep by hand."""
        self._note()
        self._patch(f"{self._sheep_path}-{number}", change)

    def resize(self, size: int) -> None:
        """Change what the Flock wants."""
        self._note()
        self._patch(self._flock_path, {"spec": {"size": size}})

    def kill(self) -> str:
        """Kill the shepherd's Pods without notice; returns their names."""
        self._note()
        pods = [each["metadata"]["name"] for each in self.shepherd.pods()]
        for each in pods:
            path = f"/api/v1/namespaces/{self.probe.namespace}/pods/{each}"
            kube.request(self.probe.api, "DELETE", path, body={"gracePeriodSeconds": 0})
        return ", ".join(pods)

    def remove(self) -> None:
        """Delete the Flock, and what there is of its sheep."""
        self._delete(self._flock_path)
        for each in self.sheep():
            self._delete(f"/api/v1/namespaces/{self.probe.namespace}/configmaps/{each['metadata']['name']}")

    def sheep(self) -> list[Object]:
        """The ConfigMaps with the names of this Flock's sheep."""
        found = self.probe.list("v1", "ConfigMap")
        return [each for each in found if each["metadata"]["name"].startswith(f"{self.name}-")]

    def runs(self) -> list[Object]:
        """The reconciles of this Flock, from the shepherd's journal."""
        records = self.shepherd.records()
        return [each for each in records if each.get("record") == "reconcile" and each["name"] == self.name]

    def raised(self) -> str:
        """What the shepherd's function raised last, as a sentence; or nothing."""
        errors = self.shepherd.errors()
        return f" Your function raised {describe(errors[-1])}." if errors else ""

    def begun(self, count: int, seconds: float) -> bool:
        """Wait until `count` sheep are there, at most so many seconds; False if they do not come."""

        def seen(objects: list[Object]) -> kube.Seen:
            there = sum(each["metadata"]["name"].startswith(f"{self.name}-") for each in objects)
            return kube.Seen(there >= count, f"{there} sheep")

        deadline = time.monotonic() + self.probe.left(seconds)
        while time.monotonic() < deadline:
            if self._until(seen):
                return True
            if self._rests():
                return False
        return False

    def trouble(self, seconds: float) -> Finding | None:
        """What is wrong with the flock once the shepherd rests, or after so many seconds; None if it is in order."""
        flock = self.probe.get(f"{self.probe.world.group}/v1", "Flock", self.name)
        if flock is None:
            raise LabsError(f"The Flock {self.name} was deleted while it was looked at.", fix="check again")

        def seen(objects: list[Object]) -> kube.Seen:
            wrong = judge(flock, objects)
            return kube.Seen(wrong is None, wrong.text if wrong else "in order")

        began = time.monotonic()
        while not self._until(seen):
            late = time.monotonic() - began > self.probe.left(seconds)
            if late or self._rests():
                wrong = judge(flock, self.probe.list("v1", "ConfigMap"))
                if wrong is not None:
                    waited = f"{time.monotonic() - began:.0f} s later"
                    return Finding(wrong.problem, f"{waited}: {wrong.text}{self.raised()}")
        return None

    def unrest(self, seconds: float) -> str:
        """What keeps the shepherd busy although the flock is in order: "hot-loop" if sheep are written again and again
        for so many seconds, "raises" if its function fails again and again, or "".

        A shepherd rests once it has looked and written nothing, since no event of its own follows from that; one that
        sends writes which change nothing, once the sheep stay as they are for a while.
        """
        deadline = time.monotonic() + self.probe.left(seconds)
        before: dict[str, str] = {}
        since = time.monotonic()
        while time.monotonic() < deadline:
            runs = [each for each in self.runs() if each["at"] > self.mark]
            if runs and not runs[-1]["writes"] and not runs[-1]["error"]:
                return ""
            if len(runs) >= FAILURES and all(each["error"] for each in runs[-FAILURES:]):
                return "raises"
            now = {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in self.sheep()}
            if now != before:
                before, since = now, time.monotonic()
            if time.monotonic() - since > IDLE:
                return "raises" if runs and runs[-1]["error"] else ""
            time.sleep(PACE)  # what is awaited is that nothing happens, which has no event
        return "hot-loop"

    def _until(self, seen: kube.wait.Condition) -> bool:
        target = kube.Target("v1", "ConfigMap", namespace=self.probe.namespace)
        try:
            kube.until(self.probe.api, target, seen, timeout=POLL, progress=self.probe.progress)
        except kube.wait.TimedOut:
            return False
        return True

    def _rests(self) -> bool:
        """Whether the shepherd has looked at the flock since the last attack, and did nothing more: a look that wrote
        nothing, or one that raised, and none since.
        """
        runs = self.runs()
        if not runs or runs[-1]["at"] <= self.mark or (runs[-1]["writes"] and not runs[-1]["error"]):
            return False
        deadline = time.monotonic() + POLL
        while time.monotonic() < deadline:
            if self.runs()[-1:] != runs[-1:]:
                return False
            time.sleep(PACE)  # as above
        return True

    def _note(self) -> None:
        runs = self.runs()
        self.mark = runs[-1]["at"] if runs else 0.0

    @property
    def _sheep_path(self) -> str:
        return f"/api/v1/namespaces/{self.probe.namespace}/configmaps/{self.name}"

    @property
    def _flock_path(self) -> str:
        return f"/apis/{self.probe.world.group}/v1/namespaces/{self.probe.namespace}/flocks/{self.name}"

    def _delete(self, path: str) -> None:
        try:
            kube.request(self.probe.api, "DELETE", path, body={"propagationPolicy": "Background"})
        except kube.Refused as refused:
            if refused.status != 404:
                raise

    def _patch(self, path: str, change: Object) -> None:
        kube.patch(self.probe.api, path, change)


@contextlib.contextmanager
def attack(probe: Probe, shepherd: Deployed, **spec: Any) -> Iterator[Attack]:
    """Make a Flock that is nobody else's, for as long as the block runs; it leaves nothing behind."""
    name = f"check-{secrets.token_hex(3)}"
    version = f"{probe.world.group}/v1"
    flock = {"apiVersion": version, "kind": "Flock", "metadata": {"name": name}, "spec": spec}
    made = Attack(probe, shepherd, name)
    try:
        kube.apply(probe.api, [flock], namespace=probe.namespace)
        yield made
    finally:
        # Nothing here waits for the garbage collector: it may take half a minute to notice a kind that is new.
        made.remove()
