"""The aggregated discovery service: one gRPC stream for each proxy, over mTLS, and only its own configuration in it.

Who asks is what the certificate says, never what the request says: the node id in the first request must name the Pod
that the certificate was issued for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc

from labsupport.mesh.api import Name
from labsupport.mesh.identity.serving import SERVER_OPTIONS
from labsupport.mesh.serve.hub import Hub, Proxy
from labsupport.mesh.serve.session import Request

log = logging.getLogger(__name__)
Caller = Callable[["grpc.aio.ServicerContext[Any, Any]"], Name]


class DiscoveryService(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """The service; `caller` says for which Pod the certificate of a connection was issued."""

    def __init__(self, hub: Hub, caller: Caller) -> None:
        self._hub, self._caller = hub, caller

    async def DeltaAggregatedResources(
        self, requests: AsyncIterator[Request], context: grpc.aio.ServicerContext[Any, Any]
    ) -> None:
        """A proxy's stream, until either side ends it."""
        try:
            pod = self._caller(context)
        except ValueError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            return
        first = await anext(requests, None)
        if first is None:
            return
        if first.node.id != str(pod):
            text = f"the certificate was issued for the Pod {pod}, the request asks for {first.node.id or 'none'}"
            log.warning("refused: %s", text)
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, text)
        metadata = first.node.metadata  # a protobuf Struct, of strings where our own helper made it
        capture = metadata["capture"] if "capture" in metadata else "redirect"  # noqa: SIM401 (a Struct has no get)
        proxy = self._hub.join(pod, capture)
        version = first.node.user_agent_build_version.version
        proxy.version = f"{version.major_number}.{version.minor_number}.{version.patch}"
        sending = asyncio.create_task(_send(proxy, context))
        try:
            self._receive(proxy, first)
            async for request in requests:
                self._receive(proxy, request)
        finally:
            sending.cancel()
            self._hub.leave(proxy)

    def _receive(self, proxy: Proxy, request: Request) -> None:
        if request.HasField("error_detail"):
            log.warning("%s refuses %s: %s", proxy.name, request.type_url, request.error_detail.message)
        self._hub.receive(proxy, request)


async def _send(proxy: Proxy, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    while True:
        await proxy.wake.wait()
        proxy.wake.clear()
        try:
            for response in proxy.session.responses():
                await context.write(response)
        except Exception:  # a proxy that is told nothing more must not stay connected
            log.exception("nothing can be sent to %s", proxy.name)
            await context.abort(grpc.StatusCode.INTERNAL, "this stream is broken; come again")


def server(
    hub: Hub, caller: Caller, address: str, credentials: grpc.ServerCredentials | None
) -> tuple[grpc.aio.Server, int]:
    """A server for `address` ("host:port"; port 0: any free one), not started yet, and its port.

    Without credentials it speaks plain text: for tests.
    """
    # A proxy that comes again lists all that it has.
    received = ("grpc.max_receive_message_length", 64 * 2**20)
    made = grpc.aio.server(options=[*SERVER_OPTIONS, received, ("grpc.keepalive_time_ms", 30_000)])
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(DiscoveryService(hub, caller), made)
    port = made.add_secure_port(address, credentials) if credentials else made.add_insecure_port(address)
    return made, port
