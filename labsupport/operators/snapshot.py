"""A host: a control plane around a learner's `snapshot(services, slices, routes)`.

It watches the Services, EndpointSlices and HTTPRoutes of its namespace, calls the function when any of them changed,
and serves what it returns to every proxy that asks, by incremental xDS over one gRPC stream each. The protocol's state
is the mesh's own (labsupport/mesh/serve). The streams are plain text: what is served here is no secret, and no proxy
has an identity yet.

A result that cannot be used (it raises, it is no snapshot, Envoy has no such field) is told like any failure of the
learner's, and the last good one goes on being served. With the setting `paced` (seconds) the function is instead
`pushes(before, services, slices, routes)`, which returns one push after the other; the host waits so long after each.

What it does is on stdout, one JSON record a line: `what` is connected, left, called, sent or answered.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, cast

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc

from labsupport import kube
from labsupport.mesh.api import Name
from labsupport.mesh.model import Model
from labsupport.mesh.serve.hub import Hub, Proxy
from labsupport.mesh.serve.session import Request, Response
from labsupport.mesh.serve.store import Store
from labsupport.mesh.translate.parts import Part
from labsupport.mesh.translate.resource import EVERYONE, Key, Resource
from labsupport.operators import learner
from labsupport.operators.configuration import TYPES, WORDS, State, check, pushed, read
from labsupport.operators.informer import Change, Informer, Kind

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
PORT = 18000
LIMIT = 5.0  # seconds for one call before it is told that it takes long
TOGETHER = (
    0.03  # seconds without a change after which a call is made, so that what comes together is one call
)
AT_MOST = 10  # such pauses: changes that go on and on are no reason to wait for ever
WATCHED = (
    Kind("v1", "Service"),
    Kind("discovery.k8s.io/v1", "EndpointSlice"),
    Kind("gateway.networking.k8s.io/v1", "HTTPRoute"),
)
WHOLE = Part("snapshot")


def resources(model: Model, part: Part) -> list[Resource]:
    """A state as the store's resources, all for everyone."""
    state = cast(State, model)
    return [
        Resource(Key(TYPES[kind], EVERYONE, name), body)
        for kind, found in state.items()
        for name, body in found.items()
    ]


def tell(what: str, **fields: Any) -> None:
    """Write a record to stdout."""
    print(json.dumps({"what": what, "at": round(time.time(), 4), **fields}), flush=True)


def sent(proxy: str, response: Response) -> dict[str, Any]:
    """A response as a record: what is in it, with the digests that are its versions."""
    return {
        "proxy": proxy,
        "type": WORDS.get(response.type_url, response.type_url),
        "resources": {each.name: each.version for each in response.resources},
        "removed": [*response.removed_resources],
        "bytes": response.ByteSize(),
    }


class Served(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """The discovery service; it believes each proxy its name."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def DeltaAggregatedResources(
        self, requests: AsyncIterator[Request], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """A proxy's stream, until either side ends it."""
        first = await anext(requests, None)
        if first is None:
            return
        proxy = self._hub.join(Name("", first.node.id))
        name = first.node.id
        tell("connected", proxy=name, has=len(first.initial_resource_versions))
        sending = asyncio.create_task(self._send(proxy, name, context))
        try:
            self._receive(proxy, name, first)
            async for request in requests:
                self._receive(proxy, name, request)
        finally:
            sending.cancel()
            self._hub.leave(proxy)
            tell("left", proxy=name)

    def _receive(self, proxy: Proxy, name: str, request: Request) -> None:
        if request.response_nonce:
            refused = request.error_detail.message if request.HasField("error_detail") else ""
            kind = WORDS.get(request.type_url, request.type_url)
            tell(
                "answered",
                proxy=name,
                type=kind,
                ack=not request.HasField("error_detail"),
                message=" ".join(refused.split()),
            )
        self._hub.receive(proxy, request)

    async def _send(self, proxy: Proxy, name: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        while True:
            await proxy.wake.wait()
            proxy.wake.clear()
            for response in proxy.session.responses():
                tell("sent", **sent(name, response))
                await context.write(response)


class Host:
    """Objects in, function called, resources out."""

    def __init__(self, function: learner.Learner, loop: asyncio.AbstractEventLoop) -> None:
        self.store = Store(translate=resources)
        self.hub = Hub(self.store)
        self.state: State = {kind: {} for kind in TYPES}
        self.objects: dict[str, dict[str, Any]] = {kind.kind: {} for kind in WATCHED}
        self.pace = float(function.settings.get("paced") or 0)
        self._function = function
        self._loop = loop
        self._because: list[str] = []
        self._wake = asyncio.Event()
        self._lock = threading.Lock()

    def told(self, change: Change) -> None:
        """An informer tells; from its thread."""
        with self._lock:
            held = self.objects[change.kind]
            if change.type == "DELETED":
                held.pop(change.name, None)
            else:
                metadata = {
                    key: value for key, value in change.now["metadata"].items() if key != "managedFields"
                }
                held[change.name] = {**change.now, "metadata": metadata}
            self._because.append(f"{change.kind} {change.name}")
        self._loop.call_soon_threadsafe(self._wake.set)

    def _taken(self) -> tuple[list[list[Any]], list[str]]:
        """The objects, in no order that could be relied on, and what has changed among them."""
        with self._lock:
            found = [copied(self.objects[kind.kind].values()) for kind in WATCHED]
            because, self._because = self._because, []
        for each in found:
            random.shuffle(each)
        return found, because

    async def run(self) -> None:
        """For ever: wait for changes, call, serve."""
        together = max(TOGETHER, self.pace)
        while True:
            await self._wake.wait()
            for _ in range(AT_MOST):
                self._wake.clear()
                await asyncio.sleep(together)
                if not self._wake.is_set():
                    break
            if self._because:
                await self.once()

    async def once(self) -> None:
        """One call of the function, and what comes of it."""
        found, because = self._taken()
        began = time.monotonic()
        about = ", ".join(sorted(set(because)))
        before = copied([self.state])[0]
        arguments = [before, *found] if self.pace else found
        try:
            result = await asyncio.to_thread(self._function, *arguments, about=about, limit=LIMIT)
            states = self._paced(result) if self.pace else [self._read(result)]
        except Exception as error:  # the learner's own has been told by now
            if isinstance(error, _Unusable):
                learner.tell(
                    learner.Failure("NoSnapshot", learner._short(str(error)), input=learner._short(about))
                )
            return
        took = (time.monotonic() - began) * 1000
        tell("called", because=sorted(set(because)), ms=round(took, 1))
        for state in states:
            self.serve(state)
            if self.pace:
                await asyncio.sleep(self.pace)

    def _read(self, result: Any) -> State:
        try:
            state = read(result)
            check(state)
        except ValueError as error:
            raise _Unusable(str(error)) from None
        return state

    def _paced(self, result: Any) -> list[State]:
        states, state = [], self.state
        try:
            for push in result:
                state = pushed(state, push)
                states.append(state)
            for each in states:
                check(each)
        except (TypeError, ValueError) as error:
            raise _Unusable(str(error)) from None
        return states

    def serve(self, state: State) -> None:
        """Serve this from now on; proxies hear of what is different."""
        self.state = state
        self.hub.publish(self.store.update(cast(Model, state), [WHOLE]))


class _Unusable(ValueError):
    """What the function returned is no snapshot, or no list of pushes."""


def copied(found: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Copies: what the learner's function does to its arguments stays there."""
    copy: list[Any] = json.loads(json.dumps([*found]))
    return copy


async def main() -> None:
    """Serve until the Pod ends."""
    function = learner.load()
    loop = asyncio.get_running_loop()
    host = Host(function, loop)
    with open(NAMESPACE) as file:
        namespace = file.read()
    stop = threading.Event()
    informers = [
        Informer(
            kube.connect_in_pod(), kind, namespace, host.told, report=lambda text: print(text, flush=True)
        )
        for kind in WATCHED
    ]
    for each in informers:
        threading.Thread(target=each.run, args=(stop,), daemon=True).start()
    for each in informers:
        await asyncio.to_thread(each.synced.wait)
    await host.once()
    server = grpc.aio.server()
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Served(host.hub), server)
    server.add_insecure_port(f"0.0.0.0:{PORT}")
    await server.start()
    learner.ready()
    await host.run()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
