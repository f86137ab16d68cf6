"""Ending namespaces in less time than the namespace controller takes, and without meeting it.

That controller waits 5 s after a namespace is deleted before it begins (kubernetes/pkg/controller/namespace). Here a
namespace that is seen to be empty is released with its `finalize` subresource, as the controller itself does. Only
while the controller has not begun, though: in the middle of its work it would go on to delete what is in a new
namespace of the same name. It may have begun

- where the deletion was a while ago, or somebody else's;
- where a namespace of that name was ended in the 7 s before: the controller counts its 5 s by name. So when names were
  ended is written down on the cluster, for other processes of the course; where that is not permitted, a namespace
  that lived for less than that counts as one.

Such a namespace is left to its controller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.kube.objects import Object
from labsupport.kube.wait import TimedOut

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SYSTEM = "labs-system"  # in each cluster that `labs up` has prepared (clusters/manifests/base)
ENDED = "ended.labs.example/"  # begins its annotations that say when a namespace, whose name follows, was last ended
CONTROLLER_ENDS = (
    25.0  # seconds for a controller that has begun; it looks 5 s after a change to the namespace
)

_WAITS = 4.0  # seconds after a namespace's deletion in which its controller has surely not begun
_COUNTS = 7.0  # seconds after the end of a namespace in which the controller may still come for it
_KEPT = 60.0  # seconds that it is known when a namespace was ended
_NUDGE = "labs.example/emptied"  # annotation of a namespace that is being deleted, so that its controller looks again


@dataclass
class Endings:
    """The namespaces that one removal deletes.

    `note` is told of finalizers that were taken off a namespace.
    """

    api: ApiClient
    progress: Callable[[str], None]
    note: Callable[[str, Iterable[str]], None]
    _deleted: dict[str, float] = field(default_factory=dict)  # by this removal, and when (monotonic)
    _before: dict[str, float] | None = (
        None  # when others of these names were ended (Unix time), if that can be known
    )

    def delete(self, name: str) -> None:
        """Mark a namespace, so that nothing new is admitted to it; `release` ends it. Errors: Refused."""
        self._deleted[name] = time.monotonic()
        try:
            kube.request(self.api, "DELETE", f"/api/v1/namespaces/{name}")
        except kube.Refused as error:
            if error.status not in (404, 409):
                raise

    def prepare(self, names: Collection[str]) -> None:
        """Learn when others of these names were ended, and write down that these are ended now."""
        if not names:
            return
        with suppress(kube.Refused):
            found = kube.get(self.api, "v1", "Namespace", SYSTEM)
            if found:
                before = _times(found)
                self._write_down(names, found)
                self._before = (
                    before  # where nothing can be written down, what stands there says nothing either
                )

    def release(self, name: str, deadline: float) -> None:
        """Let an empty namespace that is being deleted go, and wait for that until `deadline` (monotonic). Where it is
        not permitted, or could meet the controller, the controller does it. Errors: Refused, TimedOut.
        """
        forget_events(self.api, name)
        place = kube.get(self.api, "v1", "Namespace", name)
        if place is None:
            return
        path = f"/api/v1/namespaces/{name}"
        try:
            if finalizers := place["metadata"].get("finalizers"):
                patch = {"metadata": {"finalizers": None}}
                place = kube.patch(self.api, path, patch)
                self.note(f"Namespace {name}", finalizers)
            if self._may_have_begun(place):
                self._await_controller(name, path)
            place["spec"] = {"finalizers": []}
            place["metadata"].pop("resourceVersion", None)
            kube.request(self.api, "PUT", f"{path}/finalize", body=place)
        except kube.Refused as error:
            if error.status not in (403, 404, 409):
                raise
        target = kube.Target("v1", "Namespace", name)
        left = max(1.0, deadline - time.monotonic())
        kube.until(self.api, target, kube.wait.gone, timeout=left, progress=self.progress)

    def _may_have_begun(self, place: Object) -> bool:
        name = place["metadata"]["name"]
        if time.monotonic() - self._deleted.get(name, float("-inf")) > _WAITS:
            return True
        if self._before is None:
            return _life(place) < _COUNTS
        return time.time() - self._before.get(name, 0.0) < _COUNTS

    def _await_controller(self, name: str, path: str) -> None:
        """Let the controller end its work. It may wait for up to 16 s more; a change brings it to look in 5."""
        self.progress(f"waiting for the namespace controller to end {name}")
        patch = {"metadata": {"annotations": {_NUDGE: "true"}}}
        kube.patch(self.api, path, patch)
        target = kube.Target("v1", "Namespace", name)
        with suppress(TimedOut):
            kube.until(self.api, target, kube.wait.gone, timeout=CONTROLLER_ENDS)
        # What it changed itself brings it to look once more, 5 s later.
        with suppress(kube.Refused):
            self._write_down([name])

    def _write_down(self, names: Iterable[str], found: Object | None = None) -> None:
        """Annotate SYSTEM with the present time for these names; of earlier ones `found` has, forget the old."""
        now = time.time()
        old = [name for name, ended in _times(found or {}).items() if abs(now - ended) > _KEPT]
        moment = datetime.fromtimestamp(now, UTC).isoformat()
        annotations = {**{ENDED + name: None for name in old}, **{ENDED + name: moment for name in names}}
        patch = {"metadata": {"annotations": annotations}}
        kube.patch(self.api, f"/api/v1/namespaces/{SYSTEM}", patch)


def forget_events(api: ApiClient, namespace: str) -> None:
    """Delete a namespace's Events: those of earlier objects would be evidence of things that are not there any more.

    Errors: Refused.
    """
    kube.request(api, "DELETE", f"/api/v1/namespaces/{namespace}/events")


def _times(system: Object) -> dict[str, float]:
    """By name, when namespaces were ended (Unix time), as annotations of SYSTEM say."""
    annotations = (system.get("metadata") or {}).get("annotations") or {}
    found = {}
    for key, value in annotations.items():
        if key.startswith(ENDED):
            with suppress(ValueError):
                found[key.removeprefix(ENDED)] = datetime.fromisoformat(value).timestamp()
    return found


def _life(place: Object) -> float:
    """Seconds from a namespace's creation to its deletion, by the server's clock."""
    born, died = (place["metadata"].get(key) for key in ("creationTimestamp", "deletionTimestamp"))
    return (
        (datetime.fromisoformat(died) - datetime.fromisoformat(born)).total_seconds()
        if born and died
        else 0.0
    )
