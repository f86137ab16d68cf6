"""A Flock of a check's own under a deployed operator, and the operator switched off and on again."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from labsupport import kube
from labsupport.course.deploy import Deployed, describe
from labsupport.course.exercise import Probe, Rejected, not_yet
from labsupport.course.lessons import operating
from labsupport.course.lessons.shepherding import judge
from labsupport.kube.objects import Object
from labsupport.patience import patient

LEAVES = patient(4.0)  # seconds that an operator which works needs at most to let a deleted Flock go


def deployed(probe: Probe, name: str) -> Deployed:
    """What runs under that name. Errors: Rejected if nothing does, or if it does not run."""
    found = probe.deployed(name)
    if found is None:
        raise Rejected(
            not_yet(
                "not-deployed",
                f"No operator {name} runs in your namespace.",
                f"Deployment {name} in {probe.namespace}",
                "The last line of the exercise's cell deploys your handlers.",
            )
        )
    return found


def raised(operator: Deployed) -> str:
    """What went wrong last in an operator, as a sentence; or nothing."""
    errors = operator.errors()
    return f" The operator's log tells of {describe(errors[-1])}." if errors else ""


@dataclass
class Guest:
    """The Flock `name`."""

    probe: Probe
    name: str

    @property
    def path(self) -> str:
        return f"/apis/{self.probe.world.group}/v1/namespaces/{self.probe.namespace}/flocks/{self.name}"

    def flock(self) -> Object | None:
        """As it is now."""
        return self.probe.get(f"{self.probe.world.group}/v1", "Flock", self.name)

    def sheep(self) -> list[str]:
        """The names of its sheep."""
        found = self.probe.list("v1", "ConfigMap")
        return [
            each["metadata"]["name"] for each in found if each["metadata"]["name"].startswith(f"{self.name}-")
        ]

    def steal(self, *names: str) -> None:
        """Delete sheep."""
        for each in names:
            path = f"/api/v1/namespaces/{self.probe.namespace}/configmaps/{each}"
            with contextlib.suppress(kube.Refused):
                kube.request(self.probe.api, "DELETE", path)

    def dye(self, name: str) -> None:
        """Change a sheep by hand."""
        path = f"/api/v1/namespaces/{self.probe.namespace}/configmaps/{name}"
        kube.patch(self.probe.api, path, {"data": {"colour": "pink"}})

    def resize(self, size: int) -> None:
        kube.patch(self.probe.api, self.path, {"spec": {"size": size}})

    def delete(self) -> None:
        """Ask for its deletion; finalizers may hold it."""
        with contextlib.suppress(kube.Refused):
            kube.request(self.probe.api, "DELETE", self.path, body={"propagationPolicy": "Background"})

    def trouble(self, seconds: float) -> str:
        """What is wrong with its sheep, when so many seconds have passed; empty as soon as nothing is."""
        flock = self.flock()
        if flock is None:
            return f"the Flock {self.name} is gone."

        def seen(objects: list[Object]) -> kube.Seen:
            wrong = judge(flock, objects)
            return kube.Seen(wrong is None, wrong.text if wrong else "in order")

        return self._until(kube.Target("v1", "ConfigMap", namespace=self.probe.namespace), seen, seconds)

    def status(self, seconds: float) -> str:
        """What is wrong with its status, likewise."""

        def seen(objects: list[Object]) -> kube.Seen:
            if not objects:
                return kube.Seen(False, "the Flock is gone")
            status, meta = objects[0].get("status") or {}, objects[0]["metadata"]
            size = objects[0]["spec"]["size"]
            told = f"there are {size} sheep at generation {meta['generation']}, and its status is {status}"
            fine = status.get("sheep") == size and status.get("observedGeneration") == meta["generation"]
            return kube.Seen(fine, told)

        return self._until(self._target(), seen, seconds)

    def stays(self, seconds: float) -> bool:
        """Whether it is still there after so many seconds; False as soon as it is gone."""
        return bool(self._until(self._target(), lambda each: kube.Seen(not each, "still there"), seconds))

    def _target(self) -> kube.Target:
        return kube.Target(f"{self.probe.world.group}/v1", "Flock", self.name, self.probe.namespace)

    def _until(self, target: kube.Target, seen: kube.wait.Condition, seconds: float) -> str:
        try:
            timeout = self.probe.left(seconds)
            kube.until(self.probe.api, target, seen, timeout=timeout, progress=self.probe.progress)
        except kube.wait.TimedOut as late:
            return late.seen.text or "nothing was seen"
        return ""


@contextlib.contextmanager
def guest(probe: Probe, **spec: Any) -> Iterator[Guest]:
    """Make a Flock that is nobody else's, for as long as the block runs; it leaves nothing behind, even if its
    finalizers are nobody's.
    """
    made = Guest(probe, f"check-{secrets.token_hex(3)}")
    version = f"{probe.world.group}/v1"
    flock = {"apiVersion": version, "kind": "Flock", "metadata": {"name": made.name}, "spec": spec}
    try:
        kube.apply(probe.api, [flock], namespace=probe.namespace)
        yield made
    finally:
        made.delete()
        if made.stays(LEAVES):
            with contextlib.suppress(kube.Refused):  # it may have gone at last
                kube.patch(probe.api, made.path, {"metadata": {"finalizers": None}})
        # Nothing here waits for the garbage collector: it may take half a minute to notice a kind that is new.
        made.steal(*made.sheep())


@contextlib.contextmanager
def switched_off(probe: Probe, operator: Deployed) -> Iterator[None]:
    """Nothing of an operator runs within the block; after it, it works again."""
    operating.scale(probe.world, operator.name, 0)
    try:
        yield
    finally:
        operating.scale(probe.world, operator.name, 1)
