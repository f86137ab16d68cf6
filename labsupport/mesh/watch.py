"""Lists and watches: every object of a kind, in all namespaces or one, as changes that go on from one another.

The rules are those of the API ("Efficient detection of changes",
https://kubernetes.io/docs/reference/using-api/api-concepts/): a watch is taken up from the last resourceVersion seen,
and a version that the server has forgotten (410 Gone) means a new list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labsupport import kube
from labsupport.errors import LabsError
from labsupport.kube.client import stream
from labsupport.kube.objects import resource
from labsupport.mesh.api import Name, Object, name_of

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

WATCH_SECONDS = 300  # after which a watch is begun anew, from where it was
RETRY, RETRY_ABSENT = 0.3, 2.0  # seconds before the server is asked again; for a kind that it does not serve
GONE, NOT_FOUND = 410, 404


@dataclass(frozen=True)
class Watched:
    """What is followed: a kind, and where; `name` for one object alone."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str = ""


Told = Callable[[Object, bool], None]  # an object, and whether it is gone


class Watch:
    """One kind, followed in a thread of its own. `told` is called for each change, in that thread."""

    def __init__(
        self, api: ApiClient, what: Watched, told: Told, report: Callable[[str], None] = print
    ) -> None:
        self.what = what
        self.synced = threading.Event()  # the first list is in, or there is no such kind yet
        self._api, self._told, self._report = api, told, report
        self._held: dict[Name, Object] = {}
        self._absent = False
        self._said = ""  # the last trouble

    def run(self, stop: threading.Event) -> None:
        """List and watch until `stop`."""
        version = ""
        while not stop.is_set():
            try:
                version = self._watch(version, stop) if version else self._list()
                self._absent, self._said = False, ""
            except LabsError as error:
                version = ""
                self._failed(error)
                stop.wait(RETRY_ABSENT if self._absent else RETRY)

    def _failed(self, error: LabsError) -> None:
        """Say what is wrong, once. What is held stays: a server in trouble must not empty the mesh.

        But for a kind that is not served: it has no objects, and may be installed later.
        """
        self._absent = _not_served(error)
        if self._absent:
            for name in [*self._held]:
                self._told(self._held[name], True)
                del self._held[name]
            self.synced.set()
        if error.what != self._said:
            self._said = error.what
            self._report(f"{self.what.kind}: {error.what}")

    def _path(self) -> str:
        return resource(self._api, self.what.api_version, self.what.kind).path(self.what.namespace)

    def _query(self) -> dict[str, str]:
        return {"fieldSelector": f"metadata.name={self.what.name}"} if self.what.name else {}

    def _list(self) -> str:
        answer = kube.request(self._api, "GET", self._path(), query=self._query())
        listed = {name_of(each): each for each in answer["items"]}
        for name in [*self._held]:
            if name not in listed:  # it went while nobody watched
                self._told(self._held[name], True)
                del self._held[name]
        for name, each in listed.items():
            before = self._held.get(name)
            if before is None or before["metadata"]["resourceVersion"] != each["metadata"]["resourceVersion"]:
                self._tell(name, each)
        self.synced.set()
        return str(answer["metadata"]["resourceVersion"])

    def _tell(self, name: Name, found: Object) -> None:
        found = {
            "apiVersion": self.what.api_version,
            "kind": self.what.kind,
            **found,
        }  # lists leave these out
        self._told(found, False)
        self._held[name] = found  # after it: what could not be told is told again by the next list

    def _watch(self, version: str, stop: threading.Event) -> str:
        """One watch; returns the version to go on from, or "" where a new list is due."""
        query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true", **self._query()}
        query["timeoutSeconds"] = str(WATCH_SECONDS)
        for event in stream(self._api, self._path(), query=query, timeout=WATCH_SECONDS + 5):
            if stop.is_set():
                break
            now = event["object"]
            if event["type"] == "ERROR":
                return "" if now.get("code") == GONE else version
            version = now["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self._told({"apiVersion": self.what.api_version, "kind": self.what.kind, **now}, True)
                self._held.pop(name_of(now), None)
            elif event["type"] != "BOOKMARK":
                self._tell(name_of(now), now)
        return version


def _not_served(error: LabsError) -> bool:
    """Whether an error says that the server has no such kind."""
    if isinstance(error, kube.Refused):
        return error.status == NOT_FOUND
    return not isinstance(error, kube.Unreachable)
