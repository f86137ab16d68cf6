"""The live halves of lab O2's code exercises: a learner's function on the real API server, while things happen there.

These run in the process of the learner's function (Probe.function), so they make a connection of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labsupport import kube
from labsupport.course.lessons.histories import Event, Monitor, Object, Report, TheEnd
from labsupport.kube.client import stream
from labsupport.kube.objects import resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

SILENCE = 10.0  # seconds without an event, after which the API server is taken to be away
PER_WRITER = 15


@dataclass(frozen=True)
class Access:
    """What is needed to reach an API server from another process of the same user."""

    host: str
    authority: str | None
    certificate: str | None
    key: str | None
    tokens: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, api: ApiClient) -> Access:
        """The access that a client has."""
        known = api.configuration
        return cls(known.host, known.ssl_ca_cert, known.cert_file, known.key_file, dict(known.api_key))

    def connect(self) -> ApiClient:
        """A client with this access."""
        from kubernetes import client

        configuration = client.Configuration(host=self.host, ssl_ca_cert=self.authority)
        configuration.cert_file, configuration.key_file = self.certificate, self.key
        configuration.api_key = dict(self.tokens)
        configuration.retries = False
        return client.ApiClient(configuration)


class LiveFlocks:
    """Lists and watches of the real API server, and a story that is made to happen there between them.

    Two things are arranged: connections break where the story says so, and once the server is asked for a version that
    it has long forgotten, in place of the learner's. Everything that is told is the API server's own answer.
    """

    def __init__(self, api: ApiClient, group: str, namespace: str) -> None:
        self._api, self._version = api, f"{group}/v1"
        self._place = namespace
        self.path = resource(api, self._version, "Flock").path(namespace)
        self._owed = self._writes = 0
        # Each entry is one watch: what happens while it is open, and what happens unseen after it has broken.
        self._story: list[tuple[list[str], list[str]]] = [
            (["set hill", "set meadow", "set hill", "delete meadow", "set moor"], ["delete moor", "set lea"]),
            (["set lea", "set brook"], ["delete hill"]),
            (["expire"], ["delete lea", "set moor"]),
            (["set moor", "delete brook"], []),
        ]

    def list(self) -> Object:
        """The real list."""
        self._owed = 0
        answer: Object = kube.request(self._api, "GET", self.path)
        return answer

    def watch(self, version: str) -> Iterator[Event]:
        """The real events, for as many changes as the story makes while this watch is open."""
        if not self._story:
            raise TheEnd
        seen, unseen = self._story.pop(0)
        expire = seen == ["expire"]
        if expire:
            for step in unseen:
                self._happen(step)
            unseen = []
        query = {"watch": "true", "resourceVersion": "1" if expire else version, "timeoutSeconds": "10"}
        query["allowWatchBookmarks"] = "true"
        events = stream(self._api, self.path, query=query, timeout=SILENCE)
        for _ in range(self._owed):  # what happened while nobody watched
            yield next(events)
        for step in seen:
            if not expire:
                self._happen(step)
            yield next(events)
        events.close()  # type: ignore[attr-defined]  # it is a generator, and its connection ends with it
        for step in unseen:
            self._happen(step)
        self._owed = len(unseen)

    def _happen(self, step: str) -> None:
        what, name = step.split()
        if what == "delete":
            kube.request(self._api, "DELETE", f"{self.path}/{name}")
            return
        self._writes += 1  # each write is to change something, or there would be no event
        flock = {"apiVersion": self._version, "kind": "Flock", "metadata": {"name": name}}
        kube.apply(self._api, [flock | {"spec": {"size": self._writes}}], namespace=self._place)


def run_live_watch(function: Callable[..., Any], access: Access, group: str, namespace: str) -> Report:
    """Let a learner's function follow the Flocks of `namespace` while they come and go."""
    return Monitor(LiveFlocks(access.connect(), group, namespace)).run(function)


@dataclass(frozen=True)
class Wool:
    """What two writers at once made of one number: what it was to become, what it became, and what it took."""

    expected: int
    found: int
    calls: int
    conflicts: int
    door: str


def run_writers(function: Callable[..., Any], access: Access, namespace: str, name: str) -> Wool:
    """Let two writers call a learner's function at the same time, while a third writes another key of the same object.

    The ConfigMap `name` is there already, with data.kilos "0" and data.door "shut".
    """
    from kubernetes import client

    apis = [access.connect() for _ in range(2)]
    conflicts: list[str] = []
    raised: list[BaseException] = []
    for api in apis:
        _count_conflicts(api, conflicts)
    together = threading.Barrier(len(apis) + 1)

    def write(api: ApiClient, kilos: int) -> None:
        core = client.CoreV1Api(api)
        together.wait()
        try:
            for _ in range(PER_WRITER):
                function(core, namespace, name, kilos)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=write, args=(api, kilos)) for kilos, api in enumerate(apis, 1)]
    for thread in threads:
        thread.start()
    third = access.connect()
    path = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
    together.wait()
    door = ""
    while any(thread.is_alive() for thread in threads):
        door = f"open {len(conflicts)}"
        kube.patch(third, path, {"data": {"door": door}})
        for thread in threads:
            thread.join(timeout=0.03)
    if raised:
        raise raised[0]
    data = kube.request(third, "GET", path)["data"]
    found = int(data["kilos"]) if data.get("kilos", "").isdigit() else -1
    calls = PER_WRITER * len(apis)
    return Wool(
        sum(PER_WRITER * kilos for kilos in (1, 2)),
        found,
        calls,
        len(conflicts),
        "" if data.get("door") == door else door,
    )


def _count_conflicts(api: ApiClient, conflicts: list[str]) -> None:
    """Note each answer 409 that a client gets."""
    from kubernetes.client import ApiException

    send = api.response_deserialize

    def noted(*arguments: Any, **named: Any) -> Any:
        try:
            return send(*arguments, **named)
        except ApiException as error:
            if error.status == 409:
                conflicts.append(str(error.reason))
            raise

    api.response_deserialize = noted  # type: ignore[method-assign]
