"""Who reports is what the certificate says; and as many edges as a large mesh has."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc

from labsupport.mesh import names
from labsupport.mesh.__main__ import reporter
from labsupport.mesh.bench import edges
from labsupport.mesh.identity import ca, serving
from labsupport.mesh.telemetry import collect
from labsupport.mesh.telemetry.collect import Collector
from tests.mesh import samples
from tests.mesh.telemetry.conftest import objects

NAME = f"{names.CONTROL}.{names.SYSTEM}.svc"


def credentials(authority: ca.Authority, by: ca.Authority, pod: str | None) -> grpc.ChannelCredentials:
    """Those of a Pod of orders, issued `by`; None: without a certificate."""
    roots = authority.roots_pem.encode()
    if pod is None:
        return grpc.ssl_channel_credentials(roots)
    key, who = ca.new_key(), ca.Identity("shop", "orders", pod, "uid")
    chain = ca.pem(by.issue(key.public_key(), who, now=datetime.now(UTC)))
    return grpc.ssl_channel_credentials(roots, ca.key_pem(key).encode(), chain.encode())


async def reported(pod: str | None, *, foreign: bool = False) -> Collector:
    """What is counted after a report that says that it comes from another Pod."""
    authority, other = (ca.Authority(ca.new_root(name, datetime.now(UTC))) for name in ("root", "foreign"))
    me = ca.Identity(names.SYSTEM, names.CONTROL, "control", "uid")
    own = serving.OwnCertificate(lambda: authority, me)
    collector = Collector(lambda: samples.model(*objects()))
    server = grpc.aio.server()
    collect.serve(server, collector, reporter)
    port = server.add_secure_port("127.0.0.1:0", serving.server_credentials(own))
    await server.start()
    message = als_pb2.StreamAccessLogsMessage()
    message.identifier.log_name, message.identifier.node.id = "inbound", "shop/web-1"
    message.identifier.node.cluster = "shop/web"
    entry = message.http_logs.log_entry.add()
    entry.common_properties.access_log_type, entry.response.response_code.value = 6, 200
    shown = credentials(authority, other if foreign else authority, pod)
    options = (("grpc.ssl_target_name_override", NAME),)

    async def messages() -> Any:
        yield message

    try:
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", shown, options=options) as channel:
            await als_pb2_grpc.AccessLogServiceStub(channel).StreamAccessLogs(messages(), timeout=20)
    finally:
        await server.stop(None)
    return collector


def test_a_report_counts_for_whom_the_certificate_names() -> None:
    collector = asyncio.run(reported("orders-1"))
    assert [(each.source, each.target) for each in collector.ledger.edges] == [("unknown", "shop/orders")]


@pytest.mark.parametrize(("pod", "foreign"), [(None, False), ("orders-1", True)])
def test_nobody_else_can_report(pod: str | None, foreign: bool) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        asyncio.run(reported(pod, foreign=foreign))
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_many_edges_are_counted_exactly() -> None:
    found = asyncio.run(edges.measure(*edges.QUICK))
    assert found.edges == 100
    assert (found.counted, found.lost) == (found.requests, 0)
    assert found.requests == 20 * 10 * 2
