"""A copy of all objects of a kind in a namespace, kept up to date; what changed is told with what was before.

How the objects come is in kube/follow.py: one list, and a watch that goes on from it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport.kube.follow import Followed, Follower, Object

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["Change", "Informer", "Kind", "Object"]


@dataclass(frozen=True)
class Kind:
    """A kind of object, as `apiVersion` and `kind` in YAML name it."""

    api_version: str
    kind: str


@dataclass(frozen=True)
class Change:
    """What a watch (or a new list) told: ADDED, MODIFIED or DELETED, the object before and now."""

    type: str
    kind: str
    before: Object | None
    now: Object

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.now["metadata"]["name"])


class Informer:
    """The objects of one kind in one namespace, by name. `told` is called for each change, in the watching thread."""

    def __init__(
        self,
        api: ApiClient,
        kind: Kind,
        namespace: str,
        told: Callable[[Change], None],
        *,
        watch_seconds: int = 60,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.kind = kind
        self.objects: dict[str, Object] = {}
        self._told = told
        followed = Followed(kind.api_version, kind.kind, namespace)
        self._follower = Follower(api, followed, self._changed, report=report, watch_seconds=watch_seconds)

    @property
    def synced(self) -> threading.Event:
        """Set once the first list is in."""
        return self._follower.synced

    def run(self, stop: threading.Event) -> None:
        """List and watch until `stop`."""
        self._follower.run(stop)

    def _changed(self, found: Object, gone: bool) -> None:
        name = found["metadata"]["name"]
        before = self.objects.get(name)
        if gone:
            self.objects.pop(name, None)
        else:
            self.objects[name] = found
        kind = "DELETED" if gone else "MODIFIED" if before else "ADDED"
        self._told(Change(kind, self.kind.kind, before, found))
