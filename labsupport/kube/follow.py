"""Follow a kind: every object of it, in all namespaces or one, by one list and watches that go on from it.

The rules are those of the API ("Efficient detection of changes",
https://kubernetes.io/docs/reference/using-api/api-concepts/): a watch is taken up from the last resourceVersion seen,
and a version that the server has forgotten (410 Gone) means a new list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labsupport.errors import LabsError
from labsupport.kube.client import Refused, Unreachable, request, stream
from labsupport.kube.objects import resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

WATCH_SECONDS = 300  # after which a watch is begun anew, from where it was
RETRY, RETRY_ABSENT = 0.3, 2.0  # seconds before the server is asked again; for a kind that it does not serve
GONE, NOT_FOUND = 410, 404


Object = dict[str, Any]  # as the API server sends it


@dataclass(frozen=True)
class Followed:
    """What is followed: a kind, and where ("" is everywhere); `name` for one object alone, `labels` a selector."""

    api_version: str
    kind: str
    namespace: str = ""
    name: str = ""
    labels: str = ""


Told = Callable[[Object, bool], None]  # an object, and whether it is gone


class Follower:
    """One kind, followed in a thread of its own. `told` is called for each change, in that thread."""

    def __init__(
        self,
        api: ApiClient,
        what: Followed,
        told: Told,
        *,
        report: Callable[[str], None] = lambda text: None,
        watch_seconds: int = WATCH_SECONDS,
    ) -> None:
        """`report` hears of trouble, once for each; a watch is begun anew after `watch_seconds`."""
        self.what = what
        self.synced = threading.Event()  # the first list is in, or there is no such kind yet
        self._api, self._told, self._report = api, told, report
        self._seconds = watch_seconds
        self._held: dict[tuple[str, str], Object] = {}
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
        """Say what is wrong, once. What is held stays: a server in trouble must not seem empty.

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
        query = {"fieldSelector": f"metadata.name={self.what.name}"} if self.what.name else {}
        return query | ({"labelSelector": self.what.labels} if self.what.labels else {})

    def _list(self) -> str:
        answer = request(self._api, "GET", self._path(), query=self._query())
        listed = {_name(each): each for each in answer["items"]}
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

    def _tell(self, name: tuple[str, str], found: Object) -> None:
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
        query["timeoutSeconds"] = str(self._seconds)
        for event in stream(self._api, self._path(), query=query, timeout=self._seconds + 5):
            if stop.is_set():
                break
            now = event["object"]
            if event["type"] == "ERROR":
                return "" if now.get("code") == GONE else version
            version = now["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self._told({"apiVersion": self.what.api_version, "kind": self.what.kind, **now}, True)
                self._held.pop(_name(now), None)
            elif event["type"] != "BOOKMARK":
                self._tell(_name(now), now)
        return version


def _name(found: Object) -> tuple[str, str]:
    return found["metadata"].get("namespace", ""), found["metadata"]["name"]


def _not_served(error: LabsError) -> bool:
    """Whether an error says that the server has no such kind."""
    if isinstance(error, Refused):
        return error.status == NOT_FOUND
    return not isinstance(error, Unreachable)
