"""Simulated proxies: they subscribe as Envoy does, acknowledge everything, and do nothing with it.

`python3 -m labsupport.mesh.bench.clients PORT COUNT`, for scale.py, in a process of its own so that what it costs is
not counted as the control plane's. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

from labsupport.mesh.translate import envoy

Request = discovery_pb2.DeltaDiscoveryRequest


async def proxy(channel: grpc.aio.Channel, name: str) -> None:
    """One proxy's stream, until the server ends it."""
    requests: asyncio.Queue[Any] = asyncio.Queue()
    known: dict[str, set[str]] = {envoy.ENDPOINTS: set(), envoy.ROUTES: set()}

    def ask(type_url: str, names: set[str], **more: Any) -> None:
        requests.put_nowait(Request(type_url=type_url, resource_names_subscribe=sorted(names), **more))

    first = Request(type_url=envoy.CLUSTER)
    first.node.id = name
    requests.put_nowait(first)
    ask(envoy.LISTENER, set())
    ask(envoy.SECRET, {"trust"})

    async def sent() -> Any:
        while True:
            yield await requests.get()

    stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)
    async for response in stub.DeltaAggregatedResources(sent(), metadata=(("pod", name),)):
        requests.put_nowait(Request(type_url=response.type_url, response_nonce=response.nonce))
        needed = {envoy.CLUSTER: envoy.ENDPOINTS, envoy.LISTENER: envoy.ROUTES}.get(response.type_url)
        if needed:
            # Names tell enough: a Service's cluster and its endpoints, its listener and its routes have the same one.
            named = {
                each.name.removesuffix("/tcp") for each in response.resources if each.name.count("/") > 1
            }
            new = named - known[needed]
            known[needed] |= new
            if new:
                ask(needed, new)


async def run(port: int, count: int) -> None:
    """All proxies, each with a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 256 * 2**20))
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(count)]
    tasks = [asyncio.create_task(proxy(each, f"load/proxy-{index}")) for index, each in enumerate(channels)]
    await asyncio.to_thread(sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for channel in channels:
        await channel.close(None)


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), int(sys.argv[2])))
