"""Usual requests, answered and nothing remarkable about them, read as cheaply as Python can.

Envoy's entry has some forty fields in twenty messages. Here the same bytes are read as messages of which only a few
fields are known, and those that are the same for many requests are left as bytes and looked up. What is remarkable is
named by its place and read whole by who wants it (entries.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from envoy.config.core.v3 import base_pb2 as core
from envoy.data.accesslog.v3 import accesslog_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

from labsupport.mesh.telemetry import entries, histogram
from labsupport.mesh.telemetry.counts import Counts
from labsupport.mesh.telemetry.ledger import PERIOD

Group = tuple[str, str, int]  # the caller's SPIFFE ID, what it says it calls (SNI), the status code
KEPT = 4096  # connections whose TLS is remembered

_FIELD = descriptor_pb2.FieldDescriptorProto
_BYTES, _INT32, _INT64 = _FIELD.TYPE_BYTES, _FIELD.TYPE_INT32, _FIELD.TYPE_INT64
# As in envoy/service/accesslog/v3 and envoy/data/accesslog/v3/accesslog.proto: numbers of fields, and how
# they are read here: a scalar type, or another of these messages; "*": several.
_MESSAGES: dict[str, dict[str, tuple[int, Any]]] = {
    "Message": {"identifier": (1, _BYTES), "http": (2, "Entries"), "tcp": (3, _BYTES)},
    "Entries": {"*entry": (1, "Entry")},
    "Entry": {"common": (1, "Common"), "response": (4, "Response")},
    "Common": {
        "tls": (4, _BYTES),
        "flags": (16, _BYTES),
        "metadata": (17, _BYTES),
        "direct": (20, _BYTES),
        "spent": (23, "Duration"),
        "kind": (33, _INT32),
    },
    "Response": {"code": (1, _BYTES), "*headers": (4, _BYTES), "*trailers": (5, _BYTES)},
    "Duration": {"seconds": (1, _INT64), "nanos": (2, _INT32)},
}


def _message() -> Any:
    package = "labs.mesh.usual"
    file = descriptor_pb2.FileDescriptorProto(name="usual.proto", package=package, syntax="proto3")
    for name, fields in _MESSAGES.items():
        made = file.message_type.add(name=name)
        for key, (number, kind) in fields.items():
            label = _FIELD.LABEL_REPEATED if key[0] == "*" else _FIELD.LABEL_OPTIONAL
            field = made.field.add(name=key.lstrip("*"), number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Message"))


Message = _message()  # a StreamAccessLogsMessage
_END = accesslog_pb2.DownstreamEnd
_REMARKABLE = (0, 403, 429)


def tally(found: Iterable[tuple[int, Any]]) -> tuple[dict[Group, Counts], list[int]]:
    """Of a Message's http.entry, with their places: the usual ones, counted; and the places of the others."""
    by_bytes: dict[tuple[bytes, bytes], list[int]] = {}
    others = []
    for place, entry in found:
        common, response = entry.common, entry.response
        metadata, code = common.metadata, response.code
        if (
            common.kind != _END
            or common.flags
            or (metadata and _would_deny(metadata))
            or _code(code) in _REMARKABLE
            or response.trailers
            or response.headers
            or common.spent.seconds >= PERIOD  # it was told of while it lasted
        ):
            others.append(place)
            continue
        spent = common.spent
        microseconds = spent.seconds * 1_000_000 + spent.nanos // 1000
        key = common.tls, code
        held = by_bytes.get(key)
        if held is None:
            by_bytes[key] = [microseconds]
        else:
            held.append(microseconds)
    groups: dict[Group, Counts] = {}
    for (tls, code), spans in by_bytes.items():
        group = *_caller(tls), _code(code)
        counts = groups.get(group)
        if counts is None:
            counts = groups[group] = Counts()
        _count(counts, group[2], spans)
    return groups, others


def _count(counts: Counts, code: int, spans: list[int]) -> None:
    """So many more requests with that status; each lasted so many microseconds."""
    counts.requests += len(spans)
    counts.classes[entries.class_of(code)] += len(spans)
    counts.errors += len(spans) if code >= 500 else 0
    counts.sum_us += sum(spans)
    counts.busy_us += sum(spans)
    latencies = counts.latencies
    for at, count in histogram.tally(spans).items():
        latencies[at] = latencies.get(at, 0) + count


@lru_cache(64)
def _code(code: bytes) -> int:
    return wrappers_pb2.UInt32Value.FromString(code).value


@lru_cache(KEPT)
def _caller(tls: bytes) -> tuple[str, str]:
    return entries.seen_by(accesslog_pb2.TLSProperties.FromString(tls))


@lru_cache(64)
def _would_deny(metadata: bytes) -> bool:
    return entries.shadow(core.Metadata.FromString(metadata))[0]
