"""The proxies that are here: whose sessions they are, and who must hear of a change."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labsupport.mesh.api import Name
from labsupport.mesh.serve.session import Request, Session
from labsupport.mesh.serve.store import Store
from labsupport.mesh.translate.resource import Key, of_workload, scopes


@dataclass(eq=False)
class Proxy:
    """One connected proxy."""

    name: Name  # of its Pod
    session: Session
    since: float = field(default_factory=time.time)  # seconds since the epoch
    version: str = ""  # of Envoy
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """All connected proxies, by the scopes that they belong to. To be used in one event loop."""

    def __init__(
        self,
        store: Store,
        met: Callable[[Name], None] = lambda name: None,
        refused: Callable[[set[Key]], None] = lambda keys: None,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self.store = store
        self.proxies: set[Proxy] = set()
        self._by_scope: dict[str, set[Proxy]] = defaultdict(set)
        self._met = met  # called with a Pod whose first proxy comes or whose last proxy goes
        self._refused = refused  # called with what a proxy refused and nobody else runs
        self._answered = answered  # called after each request or answer

    @property
    def connected(self) -> set[Name]:
        """The Pods whose proxies are here."""
        return {proxy.name for proxy in self.proxies}

    def join(self, name: Name, capture: str = "redirect") -> Proxy:
        """A proxy has come; a Pod's new one may come before its old one's connection is seen to end."""
        proxy = Proxy(name, Session(self.store, scopes(name, capture)))
        self.proxies.add(proxy)
        for scope in proxy.session.scopes:
            self._by_scope[scope].add(proxy)
        if len(self._by_scope[of_workload(name)]) == 1:
            self._met(name)
        return proxy

    def leave(self, proxy: Proxy) -> None:
        """A proxy's connection has ended."""
        self.proxies.discard(proxy)
        for scope in proxy.session.scopes:
            self._by_scope[scope].discard(proxy)
            if not self._by_scope[scope]:
                del self._by_scope[scope]
        if of_workload(proxy.name) not in self._by_scope:
            self._met(proxy.name)

    def receive(self, proxy: Proxy, request: Request) -> None:
        """Take a proxy's request or answer."""
        if refused := proxy.session.receive(request):
            self.publish(refused)  # what was good before comes back, for everyone
            self._refused(refused)
        self._answered()
        proxy.wake.set()

    def acknowledged(self, versions: Mapping[Key, str]) -> tuple[int, int]:
        """How many proxies have acknowledged these versions, of how many that have asked for some of them."""
        asking: set[Proxy] = set()
        lacking: set[Proxy] = set()
        for key, version in versions.items():
            for proxy in self._by_scope.get(key.scope, ()):
                if (found := proxy.session.acknowledged(key, version)) is not None:
                    asking.add(proxy)
                    if not found:
                        lacking.add(proxy)
        return len(asking) - len(lacking), len(asking)

    def publish(self, changed: set[Key]) -> None:
        """Tell the proxies that have to do with these resources."""
        by_scope: dict[str, set[Key]] = defaultdict(set)
        for key in changed:
            by_scope[key.scope].add(key)
        for scope, keys in by_scope.items():
            for proxy in self._by_scope.get(scope, ()):
                proxy.session.touch(keys)
                proxy.wake.set()
