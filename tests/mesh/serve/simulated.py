"""A proxy of a few lines: it subscribes, answers and refuses by the rules of the protocol, as Envoy does.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any

from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, json_format

from labsupport.mesh.serve.session import WILDCARD, Session
from labsupport.mesh.translate import envoy

ALL = (envoy.CLUSTER, envoy.LISTENER)  # of these a proxy takes whatever there is
# How a resource names others that are to be asked for.
NAMES = {
    envoy.CLUSTER: (("service_name", envoy.ENDPOINTS), ("validation_context_sds_secret_config.name", envoy.SECRET)),
    envoy.LISTENER: (("route_config_name", envoy.ROUTES), ("validation_context_sds_secret_config.name", envoy.SECRET)),
}  # fmt: skip


@cache
def text(body: bytes, type_url: str) -> str:
    """A resource in JSON."""
    message = any_pb2.Any(type_url=type_url, value=body)
    return json.dumps(json_format.MessageToDict(message, preserving_proto_field_name=True), sort_keys=True)


@cache
def named(body: bytes, type_url: str) -> set[tuple[str, str]]:
    """What a resource names: types and names."""
    said = text(body, type_url)
    found = set()
    for key, what in NAMES.get(type_url, ()):
        inner = key.partition(".")[0]
        pattern = rf'"{inner}": "([^"]+)"' if inner == key else rf'"{inner}": {{"name": "([^"]+)"'
        found |= {(what, name) for name in re.findall(pattern, said)}
    return found


@cache
def clusters(body: bytes, type_url: str) -> set[str]:
    """The clusters that a listener or a route configuration sends to."""
    said = text(body, type_url)
    weighted = re.findall(r'"clusters": \[(.*?)\]', said)
    single = re.findall(r'"cluster": "([^"]+)"', said)
    return {
        *single,
        *(
            name
            for each in weighted
            for name in re.findall(r'"name": "([^"]+/\d+(?:/tcp)?|unavailable)"', each)
        ),
    }


class Proxy:
    """One proxy and its stream. `refuses(type_url, name, version)` says what it does not take."""

    def __init__(self, session: Session, refuses: Callable[[str, str, str], bool] = lambda *_: False) -> None:
        self.refuses = refuses
        self.has: dict[str, dict[str, tuple[str, bytes]]] = {each: {} for each in envoy.PUSH_ORDER}
        self.asked: dict[str, set[str]] = {each: set() for each in envoy.PUSH_ORDER}
        self.sent: list[tuple[str, str]] = []  # each resource that came: type and name
        self.twice: list[tuple[str, str]] = []  # which of them it had already
        self.warming: set[str] = set()  # clusters that are new or different, and wait for endpoints
        self.dangling: list[str] = []  # clusters that were removed while something still sent there
        self.connect(session)

    def connect(self, session: Session) -> None:
        """A new stream; it says what it has."""
        self.session = session
        self.requests: deque[Any] = deque()
        self.responses: deque[Any] = deque()
        self.awake = False  # something happened at the server that may have to be sent
        self.begun: set[str] = set()
        self.asked_again: set[tuple[str, str]] = set()
        for type_url in envoy.PUSH_ORDER:
            if type_url in ALL or self.asked[type_url]:
                self._subscribe(type_url, self.asked[type_url])

    def _subscribe(self, type_url: str, names: set[str], dropped: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url)
        if type_url not in self.begun:
            self.begun.add(type_url)
            request.initial_resource_versions.update(
                {name: each[0] for name, each in self.has[type_url].items()}
            )
            names = names | self.asked[type_url]
            if type_url in ALL:
                names = {WILDCARD}
        request.resource_names_subscribe.extend(sorted(names))
        request.resource_names_unsubscribe.extend(sorted(dropped))
        self.requests.append(request)

    def serve(self) -> None:
        """The server takes a request."""
        self.session.receive(self.requests.popleft())
        self.awake = True

    def push(self) -> None:
        """The server sends what is due."""
        self.awake = False
        self.responses.extend(self.session.responses())

    def take(self) -> None:
        """The proxy takes a response, or refuses it."""
        response = self.responses.popleft()
        type_url, held = response.type_url, self.has[response.type_url]
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=response.nonce)
        bad = [each.name for each in response.resources if self.refuses(type_url, each.name, each.version)]
        for each in response.resources:
            self.sent.append((type_url, each.name))
            if held.get(each.name, ("", b""))[0] == each.version:
                self.twice.append((type_url, each.name))
            wanted = type_url in ALL or each.name in self.asked[type_url]  # Envoy keeps nothing else
            if each.name not in bad and wanted:
                held[each.name] = each.version, each.resource.value
                if type_url == envoy.CLUSTER and '"eds_cluster_config"' in text(
                    each.resource.value, type_url
                ):
                    self.warming.add(each.name)
            if type_url == envoy.ENDPOINTS:
                self.warming -= {each.name, f"{each.name}/tcp"}
        for name in response.removed_resources:
            held.pop(name, None)
            if type_url == envoy.CLUSTER:
                self.warming.discard(name)
            if type_url == envoy.CLUSTER and name in self._used():
                self.dangling.append(name)
        if bad:
            answer.error_detail.message = f"refused: {', '.join(bad)}"
        self.requests.append(answer)
        if type_url in NAMES:
            self._ask()

    def _used(self) -> set[str]:
        return {
            cluster
            for type_url in (envoy.LISTENER, envoy.ROUTES)
            for _, body in self.has[type_url].values()
            for cluster in clusters(body, type_url)
        }

    def _ask(self) -> None:
        wanted: dict[str, set[str]] = {each: set() for each in envoy.PUSH_ORDER}
        for type_url in NAMES:
            for _, body in self.has[type_url].values():
                for what, name in named(body, type_url):
                    wanted[what].add(name)
        for type_url, names in wanted.items():
            before = self.asked[type_url]
            if type_url not in ALL and names != before:
                self.asked[type_url] = names
                for name in before - names:
                    self.has[type_url].pop(name, None)
                self._subscribe(type_url, names - before, before - names)

    @property
    def busy(self) -> bool:
        """Whether something is on its way."""
        return bool(self.requests or self.responses or self.awake)

    def step(self, which: int) -> None:
        """One of the things that can happen now."""
        choices = [
            (self.requests, self.serve),
            (self.awake, self.push),
            (self.responses, self.take),
        ]
        possible = [do for ready, do in choices if ready]
        if possible:
            possible[which % len(possible)]()

    def settle(self) -> None:
        """Until nothing is on its way."""
        for _ in range(10_000):
            if not self.busy:
                return
            self.step(0)
        raise AssertionError("it never comes to rest")
