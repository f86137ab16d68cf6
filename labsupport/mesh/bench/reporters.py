"""Simulated proxies that report requests, for edges.py, in a process of its own.

`python3 -m labsupport.mesh.bench.reporters PORT PROXIES CALLERS COUNT SECONDS`: each sends a message a second, as Envoy
does, with COUNT requests of CALLERS callers in turn. Prints how many requests it has sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
from envoy.service.accesslog.v3 import als_pb2, als_pb2_grpc

from labsupport.mesh import names
from labsupport.mesh.translate.reports import INBOUND


def message(proxy: int, callers: int, count: int) -> Any:
    """What the proxy of a Service's first Pod says of so many requests; an entry is about as large as Envoy's."""
    made = als_pb2.StreamAccessLogsMessage()
    for index in range(count):
        caller = names.spiffe_id("load", f"service-{(proxy + index) % callers}")
        entry = made.http_logs.log_entry.add()
        common, request = entry.common_properties, entry.request
        for address in (
            common.downstream_remote_address,
            common.downstream_local_address,
            common.downstream_direct_remote_address,
            common.upstream_remote_address,
            common.upstream_local_address,
        ):
            address.socket_address.address, address.socket_address.port_value = "10.244.0.17", 40000 + index
        tls = common.tls_properties
        tls.tls_version, tls.tls_cipher_suite.value = 4, 4865
        tls.tls_sni_hostname = names.server_name("load", f"service-{proxy}", 80)
        tls.peer_certificate_properties.subject_alt_name.add(uri=caller)
        tls.local_certificate_properties.subject_alt_name.add(uri=names.spiffe_id("load", "server"))
        common.start_time.seconds, common.start_time.nanos = int(time.time()), 619_548_000
        for each in (
            common.time_to_last_rx_byte,
            common.time_to_first_upstream_tx_byte,
            common.time_to_last_upstream_tx_byte,
            common.time_to_first_upstream_rx_byte,
            common.time_to_last_upstream_rx_byte,
            common.time_to_first_downstream_tx_byte,
            common.time_to_last_downstream_tx_byte,
            common.duration,
        ):
            each.nanos = 1_000_000 + 7919 * (index * 7919 % 3001)
        common.upstream_cluster, common.access_log_type = "inbound", 6
        common.stream_id = request.request_id = "68951f65-f97e-4bd5-b656-790e292ad8a5"
        common.downstream_wire_bytes_sent, common.upstream_wire_bytes_received = 1101, 1119
        request.request_method, request.scheme, request.authority = 1, "http", "service"
        request.path, request.user_agent, request.request_headers_bytes = "/some/path?id=7", "bench/1", 456
        entry.protocol_version = 3
        entry.response.response_code.value = 503 if index % 50 == 49 else 200
        entry.response.response_code_details = "via_upstream"
        entry.response.response_headers_bytes, entry.response.response_body_bytes = 124, 1000
    return made


async def report(port: int, proxy: int, callers: int, count: int, seconds: int) -> int:
    """One proxy's stream."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        found = message(proxy, callers, count)

        async def messages() -> AsyncIterator[Any]:
            first = als_pb2.StreamAccessLogsMessage()
            first.identifier.log_name = INBOUND
            yield first
            begins = time.monotonic() + proxy % 100 / 100  # not all at the same moment
            for second in range(seconds):
                await asyncio.sleep(max(0.0, begins + second - time.monotonic()))
                yield found

        stub = als_pb2_grpc.AccessLogServiceStub(channel)
        who = (("pod", f"load/service-{proxy}-0"), ("account", f"service-{proxy}"))
        await stub.StreamAccessLogs(messages(), metadata=who)
        return count * seconds


async def run(port: int, proxies: int, callers: int, count: int, seconds: int) -> int:
    """All of them."""
    return sum(
        await asyncio.gather(*(report(port, each, callers, count, seconds) for each in range(proxies)))
    )


if __name__ == "__main__":
    print(asyncio.run(run(*map(int, sys.argv[1:]))))
