"""A copy of all objects of a kind, kept up to date by one list and a watch that goes on from it.

The rules are those of the API ("Efficient detection of changes",
https://kubernetes.io/docs/reference/using-api/api-concepts/): a watch that ends is taken up from the last
resourceVersion seen, bookmarks included; a version that the server no longer knows (410 Gone) means a new list, and
what is not in that list is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.client import stream
from labsupport.kube.objects import resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

RETRY = 0.3  # seconds before an API server that does not answer is asked again
GONE = 410

Object = dict[str, Any]


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
        self.synced = threading.Event()
        self._api, self._namespace, self._told = api, namespace, told
        self._seconds, self._report = watch_seconds, report

    def run(self, stop: threading.Event) -> None:
        """List and watch until `stop`."""
        path = resource(self._api, self.kind.api_version, self.kind.kind).path(self._namespace)
        version = ""
        while not stop.is_set():
            try:
                version = self._watch(path, version, stop) if version else self._list(path)
            except LabsError as error:
                self._report(f"{self.kind.kind}: {error.what}")
                stop.wait(RETRY)

    def _list(self, path: str) -> str:
        answer = kube.request(self._api, "GET", path)
        identity = {"apiVersion": self.kind.api_version, "kind": self.kind.kind}
        listed = {each["metadata"]["name"]: identity | each for each in answer["items"]}
        for name in [*self.objects]:
            if name not in listed:  # it went while nobody watched
                self._told(Change("DELETED", self.kind.kind, None, self.objects.pop(name)))
        for name, each in listed.items():
            before = self.objects.get(name)
            self.objects[name] = each
            if before is None:
                self._told(Change("ADDED", self.kind.kind, None, each))
            elif before["metadata"]["resourceVersion"] != each["metadata"]["resourceVersion"]:
                self._told(Change("MODIFIED", self.kind.kind, before, each))
        self.synced.set()
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, path: str, version: str, stop: threading.Event) -> str:
        """One watch; returns the version to go on from, or "" where a new list is due."""
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
        query["timeoutSeconds"] = str(self._seconds)
        for event in stream(self._api, path, query=query, timeout=self._seconds + 5):
            if stop.is_set():
                break
            now = event["object"]
            if event["type"] == "ERROR":
                self._report(f"{self.kind.kind}: {now.get('message', 'the watch ended with an error')}")
                return "" if now.get("code") == GONE else version
            version = now["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            name = now["metadata"]["name"]
            before = self.objects.get(name)
            if event["type"] == "DELETED":
                self.objects.pop(name, None)
            else:
                self.objects[name] = now
            self._told(Change(event["type"], self.kind.kind, before, now))
        return version
