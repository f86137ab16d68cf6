"""Envoy's access log service: proxies stream what they have seen, over the port and the mutual TLS of ADS.

Who reports is what the certificate of the connection says, never what the stream says of itself. A destination reports
every request and connection; a source what never reached a destination with a proxy. So each is counted once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
from envoy.config.core.v3 import address_pb2
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf.message import DecodeError

from labsupport.mesh.model import Model
from labsupport.mesh.telemetry import entries, usual
from labsupport.mesh.telemetry.counts import HTTP, OUTSIDE, TCP, UNKNOWN, Counts, Edge
from labsupport.mesh.telemetry.ledger import Ledger
from labsupport.mesh.telemetry.places import Places, Reporter, id_of
from labsupport.mesh.telemetry.tap import Taps
from labsupport.mesh.translate.reports import OUTBOUND

log = logging.getLogger(__name__)
Message = bytes  # a StreamAccessLogsMessage: most of it is never read as what it is (usual.py)
_SERVICE = als_pb2.DESCRIPTOR.services_by_name["AccessLogService"].full_name
SOURCE = "source"


class Collector:
    """Takes messages, counts what is in them, and shows it to those who look on."""

    def __init__(self, model: Callable[[], Model]) -> None:
        self.ledger, self.taps = Ledger(), Taps()
        self._model, self._places = model, Places(model())

    @property
    def places(self) -> Places:
        """What addresses and names mean now."""
        model = self._model()
        if model is not self._places.model:
            self._places = Places(model)
        return self._places

    def take(self, reporter: Reporter, source: bool, message: Message) -> None:
        """One message of a proxy; `source`: of what goes out from its Pod."""
        count = 0
        try:
            brief = usual.Message.FromString(message)
            if not source and not brief.tcp and not self.taps.open:
                count = len(brief.http.entry)
                counted, others = usual.tally(self._own(reporter, brief.http.entry))
                self._usual(reporter, counted)
                if others:
                    whole = als_pb2.StreamAccessLogsMessage.FromString(message).http_logs.log_entry
                    self._http(reporter, source, [whole[each] for each in others])
            else:
                found = als_pb2.StreamAccessLogsMessage.FromString(message)
                http, tcp = found.http_logs.log_entry, found.tcp_logs.log_entry
                count = len(http) + len(tcp)
                self._http(reporter, source, http)
                self._tcp(reporter, source, tcp)
        except Exception:  # one that cannot be read must not end the stream
            log.exception("what %s reports cannot be read", reporter.pod)
            self.ledger.lost += max(1, count)
        else:
            self.ledger.entries += count

    def _own(self, reporter: Reporter, found: Any) -> Iterable[tuple[int, Any]]:
        """The entries that are the reporter's to tell, with their places."""
        placed = enumerate(found)
        if not self.places.is_gateway(reporter):
            return placed
        read = address_pb2.Address.FromString
        return (each for each in placed if not self._told_by_its_source(read(each[1].common.direct)))

    def _usual(self, reporter: Reporter, found: dict[usual.Group, Counts]) -> None:
        for (peer, sni, _), counts in found.items():
            self.ledger.add(self._arrived(reporter, peer, sni, HTTP), counts)

    def _http(self, reporter: Reporter, source: bool, found: Any) -> None:
        at_edge = not source and self.places.is_gateway(reporter)
        for entry in found:
            direct = entry.common_properties.downstream_direct_remote_address
            if at_edge and self._told_by_its_source(direct):
                continue
            edge = self._edge(reporter, source, entry, HTTP)
            if edge is None:
                continue
            key = entry.common_properties.stream_id
            if entries.lasts(entry):
                self.ledger.lasting(key, edge)
                continue
            self.ledger.ended(key)
            self.ledger.add(edge, entries.counted(entry, entries.outcome(entry)))
            if self.taps.open:
                self.taps.http(edge, reporter, entry)

    def _tcp(self, reporter: Reporter, source: bool, found: Any) -> None:
        for entry in found:
            edge = self._edge(reporter, source, entry, TCP)
            if edge is None:
                continue
            moved = entry.connection_properties
            key, sizes = (
                entry.common_properties.stream_id,
                (moved.received_bytes, moved.sent_bytes),
            )
            if entries.lasts(entry):
                self.ledger.lasting(key, edge, *sizes)
                continue
            result = entries.tcp_outcome(entry)
            _, counts = self.ledger.ended(key, *sizes)
            counts.connections, counts.errors = 1, int(result.error)
            counts.denied, counts.would_deny = int(result.denied), int(result.would_deny)
            counts.limited = int(result.limited)
            self.ledger.add(edge, counts)
            if self.taps.open:
                self.taps.tcp(edge, reporter, entry)

    def _edge(self, reporter: Reporter, source: bool, entry: Any, protocol: str) -> Edge | None:
        """Where an entry belongs; None where the other side tells of it."""
        if not source:
            return self._arrived(reporter, *entries.caller(entry), protocol)
        common, places = entry.common_properties, self.places
        upstream, local = (
            common.upstream_remote_address.socket_address,
            common.downstream_local_address.socket_address,
        )
        reached = common.HasField("upstream_local_address")
        if reached and places.proxied(upstream.address, upstream.port_value):
            return None
        cluster = common.upstream_cluster
        target, service = places.target(cluster, upstream.address, local.address, local.port_value)
        if reached and not service:
            target = OUTSIDE
        return Edge(reporter.id, target, service, protocol, False, SOURCE)

    def _told_by_its_source(self, direct: Any) -> bool:
        """Whether what came to a Gateway, from that address, is from a Pod of the mesh, whose own proxy says whose."""
        return self.places.has_proxy(direct.socket_address.address)

    def _arrived(self, reporter: Reporter, peer: str, sni: str, protocol: str) -> Edge:
        places = self.places
        service = places.called(reporter, sni) if sni else ""
        nobody = OUTSIDE if places.is_gateway(reporter) else UNKNOWN
        return Edge(id_of(peer) if peer else nobody, reporter.id, service, protocol, bool(peer))


class AccessLogService:
    """The service; `caller` says whose certificate a connection has shown."""

    def __init__(
        self, collector: Collector, caller: Callable[[grpc.aio.ServicerContext[Any, Any]], Reporter]
    ) -> None:
        self._collector, self._caller = collector, caller

    async def stream(
        self, messages: AsyncIterator[Message], context: grpc.aio.ServicerContext[Any, Any]
    ) -> Any:
        """A proxy's stream, until it ends."""
        try:
            reporter = self._caller(context)
        except ValueError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            return None
        source = False
        first = True
        async for message in messages:
            if first:  # only that one has an identifier
                source, first = log_name(message) == OUTBOUND, False
            self._collector.take(reporter, source, message)
        return als_pb2.StreamAccessLogsResponse()


def serve(
    server: grpc.aio.Server,
    collector: Collector,
    caller: Callable[[grpc.aio.ServicerContext[Any, Any]], Reporter],
) -> None:
    """Answer at this server too; before it is started."""
    handler = grpc.stream_unary_rpc_method_handler(
        AccessLogService(collector, caller).stream,
        response_serializer=als_pb2.StreamAccessLogsResponse.SerializeToString,
    )
    found = grpc.method_handlers_generic_handler(_SERVICE, {"StreamAccessLogs": handler})
    server.add_generic_rpc_handlers((found,))


def log_name(message: Message) -> str:
    """Which log a stream's first message says that it is; "" where it says nothing, or nothing that can be read."""
    try:
        found = usual.Message.FromString(message).identifier
        name: str = als_pb2.StreamAccessLogsMessage.Identifier.FromString(found).log_name
    except DecodeError:
        return ""
    return name
