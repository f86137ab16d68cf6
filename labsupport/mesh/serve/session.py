"""What one proxy subscribes to, has, and refused: the incremental variant of the xDS protocol, without the network.

https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds. For each type one response at most is
on its way; what changes meanwhile goes into the next one, so that a slow proxy gets fewer and larger ones.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from envoy.service.discovery.v3 import discovery_pb2

from labsupport.mesh.serve.messages import Encoded, encode
from labsupport.mesh.serve.store import Store
from labsupport.mesh.translate import envoy
from labsupport.mesh.translate.resource import Key

WILDCARD = "*"
UNKNOWN = "?"  # in place of a version
# Names for readers: the package has no types.
Request: TypeAlias = Any  # discovery_pb2.DeltaDiscoveryRequest
Response: TypeAlias = Any  # discovery_pb2.DeltaDiscoveryResponse


@dataclass(frozen=True)
class Refusal:
    """A NACK: the proxy keeps what it had."""

    type_url: str
    names: tuple[str, ...]
    message: str
    at: float  # seconds since the epoch


@dataclass
class Subscription:
    """One type of resource at one proxy."""

    wildcard: bool = False
    names: set[str] = field(default_factory=set)
    # Name -> version; "" where it was told that there is none, UNKNOWN where it refused several together.
    has: dict[str, str] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)  # names to look at again
    alone: list[str] = field(default_factory=list)  # names that go one by one, after a refusal of several
    refused: dict[str, str] = field(default_factory=dict)  # name -> the version that this proxy does not take
    took: set[str] = field(default_factory=set)  # names of which it ever took a version, and has it still
    nonce: str = ""  # of the response that waits for its answer
    sent: dict[str, tuple[Key, str]] = field(default_factory=dict)  # what is in it
    acknowledged: float = 0.0  # when the last answer came, seconds since the epoch

    def wants(self, name: str) -> bool:
        """Whether the proxy asked for this name."""
        return self.wildcard or name in self.names


@cache
def unavailable(name: str) -> Encoded:
    """A route configuration in place of one that was refused, for a proxy that has none: everything is answered 503."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 503}}
    host = {"name": "unavailable", "domains": ["*"], "routes": [route]}
    return encode(envoy.ROUTES, {"name": name, "virtual_hosts": [host]})


class Session:
    """One proxy's stream: requests go in by `receive`, changes by `touch`, and `responses` says what to send now."""

    def __init__(self, store: Store, scopes: Sequence[str]) -> None:
        self.scopes = tuple(scopes)  # the narrowest last
        self.types = {type_url: Subscription() for type_url in envoy.PUSH_ORDER}
        self.refusals: list[Refusal] = []
        self._store = store
        self._nonces = itertools.count(1)
        self._begun: set[str] = set()

    @property
    def synced(self) -> bool:
        """Whether the proxy has everything that it asked for, and took it."""
        subscriptions = self.types.values()
        return not any(each.open or each.nonce or each.alone or each.refused for each in subscriptions)

    def receive(self, request: Request) -> set[Key]:
        """Take a request or an acknowledgement; returns keys that changed for everyone because of it (a refusal)."""
        subscription = self.types.get(request.type_url)
        if subscription is None:  # a type that this control plane has none of: it is never answered
            return set()
        changed = self._answered(request, subscription)
        if request.type_url not in self._begun:
            self._begun.add(request.type_url)
            subscription.has = dict(request.initial_resource_versions)
            subscription.took = set(subscription.has)
            subscription.open |= set(subscription.has)
            subscription.wildcard = not request.resource_names_subscribe
        else:
            for name in request.resource_names_subscribe:
                subscription.has.pop(name, None)  # who asks again wants an answer, whatever he has
        for name in request.resource_names_subscribe:
            if name == WILDCARD:
                subscription.wildcard = True
            else:
                subscription.names.add(name)
                subscription.open.add(name)
        for name in request.resource_names_unsubscribe:
            subscription.names.discard(name)
            subscription.has.pop(name, None)
            subscription.refused.pop(name, None)
            subscription.took.discard(name)
            subscription.wildcard = subscription.wildcard and name != WILDCARD
        if subscription.wildcard and not subscription.acknowledged and not subscription.nonce:
            subscription.open |= self._store.names(request.type_url, self.scopes)
        return changed

    def _answered(self, request: Request, subscription: Subscription) -> set[Key]:
        if not subscription.nonce or request.response_nonce != subscription.nonce:
            return set()  # the answer to a response that no longer matters
        sent, subscription.sent, subscription.nonce = subscription.sent, {}, ""
        subscription.acknowledged = time.time()
        if not request.HasField("error_detail"):
            for name, (key, version) in sent.items():
                self._store.accepted(key, version)
                if not subscription.wants(name):
                    continue  # it came when nobody asked any more, and was not kept
                if key.type_url != envoy.ROUTES or version != unavailable(name).version:
                    subscription.refused.pop(name, None)
                    subscription.took.add(name)
            return set()
        if len(sent) > 1:
            subscription.has |= dict.fromkeys(sent, UNKNOWN)  # it may have taken some of them
            # One bad resource must not keep the others away.
            subscription.alone += sent
            return set()
        message = request.error_detail.message
        self.refusals.append(Refusal(request.type_url, tuple(sent), message, time.time()))
        changed = set()
        for name, (key, version) in sent.items():
            subscription.refused[name] = version
            subscription.has[name] = version
            stand_in = key.type_url == envoy.ROUTES and version == unavailable(name).version
            if key.type_url == envoy.ROUTES and name not in subscription.took and not stand_in:
                del subscription.has[name]  # it has nothing, and is told something else
                subscription.open.add(name)
            if self._store.refused(key, version, message):
                changed.add(key)
        return changed

    def acknowledged(self, key: Key, version: str) -> bool | None:
        """Whether the proxy has said that it runs this version; None if it does not ask for this resource."""
        subscription, name = self.types[key.type_url], key.name
        found = self._store.find(key.type_url, self.scopes, name) if subscription.wants(name) else None
        if found is None or found[0] != key:  # a narrower scope has one of this name
            return None
        if name in subscription.sent or subscription.refused.get(name) == version:
            return False
        return subscription.has.get(name) == version

    def touch(self, keys: set[Key]) -> None:
        """Some resources of this proxy's scopes are different now."""
        for key in keys:
            subscription = self.types[key.type_url]
            if subscription.wants(key.name):
                subscription.open.add(key.name)

    def responses(self) -> Iterator[Response]:
        """What can be sent now, in an order in which nothing is named before it is there."""
        # Clusters twice: one that goes waits for what names it, and that may have nothing to say after all.
        for type_url in (*envoy.PUSH_ORDER, envoy.CLUSTER):
            if not self.types[type_url].nonce and (response := self._response(type_url)):
                yield response

    def _response(self, type_url: str) -> Response | None:
        subscription = self.types[type_url]
        while subscription.alone:
            name = subscription.alone.pop(0)
            if response := self._about(type_url, {name}):
                return response
        return self._about(type_url, set(subscription.open))

    def _about(self, type_url: str, names: set[str]) -> Response | None:
        """A response with what is different of these names; None if nothing is."""
        subscription = self.types[type_url]
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url)
        later: set[str] = set()
        for name in sorted(names):
            if not subscription.wants(name):
                continue
            found = self._store.find(type_url, self.scopes, name)
            has = subscription.has.get(name)
            served = found[1].served if found else None
            if served and subscription.refused.get(name) == served.version:
                served = None
            if found and served is None and not has and type_url == envoy.ROUTES:
                served = unavailable(name)  # a listener waits for its routes, and a Pod for its listeners
            if found and served:
                if has == served.version:
                    continue
                response.resources.add(name=name, version=served.version, resource=served.body)
                subscription.sent[name] = found[0], served.version
                subscription.has[name] = served.version
                if type_url == envoy.CLUSTER:
                    self._endpoints_again(name)
            elif found and has is None and name in subscription.names:
                # It was never good. The proxy would wait for it, and not be ready until it gave up.
                response.removed_resources.append(name)
                subscription.has[name] = ""
            elif not found and (has or (has is None and name in subscription.names)):
                if type_url == envoy.CLUSTER and self._may_be_used():
                    later.add(name)
                    continue
                response.removed_resources.append(name)
                subscription.has[name] = ""
                subscription.refused.pop(name, None)
        subscription.open = (subscription.open - names) | later
        nothing = not response.resources and not response.removed_resources
        # Who asks for all that there is waits for the answer even if there is nothing.
        if nothing and not (
            subscription.wildcard and not subscription.acknowledged and type_url in self._begun
        ):
            return None
        response.nonce = subscription.nonce = str(next(self._nonces))
        return response

    def _may_be_used(self) -> bool:
        """Whether listeners or routes that name a cluster may still be there, so that it must wait (break last)."""
        users = (self.types[envoy.LISTENER], self.types[envoy.ROUTES])
        return any(each.open or each.nonce or each.alone for each in users)

    def _endpoints_again(self, cluster: str) -> None:
        """A cluster that is changed warms up anew, and waits for endpoints even if they are as before."""
        endpoints = self.types[envoy.ENDPOINTS]
        name = cluster.removesuffix("/tcp")
        if endpoints.has.pop(name, None) is not None:
            endpoints.open.add(name)
