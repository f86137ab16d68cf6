"""The gRPC part of the echo application: one method, called by its name.

The service is `EchoTestService` of Istio's test application (pkg/test/echo/proto/echo.proto), of which one method is
here: `Echo`, whose request and answer are each a message with one text as field 1. Protocol Buffers has such a message
of its own, StringValue; on the wire the three are the same bytes, so there is nothing to generate.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

# The C library's resolver: names are looked up as everywhere else in a Pod.
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")

import grpc
from google.protobuf.wrappers_pb2 import StringValue

from labsupport.shop.echo import fields

SERVICE, METHOD = "proto.EchoTestService", "Echo"
THREADS = 16


class Rpc:
    """A gRPC server without TLS on `port` (0: any) of all addresses. OSError if it cannot have it."""

    def __init__(self, port: int) -> None:
        echo = grpc.unary_unary_rpc_method_handler(
            self._echo,
            request_deserializer=StringValue.FromString,
            response_serializer=StringValue.SerializeToString,
        )
        self._server = grpc.server(
            ThreadPoolExecutor(THREADS),
            handlers=[grpc.method_handlers_generic_handler(SERVICE, {METHOD: echo})],
            options=[("grpc.so_reuseport", 0)],  # else a port that another has is shared with it in silence
        )
        try:
            self.port = self._server.add_insecure_port(f"0.0.0.0:{port}")
        except RuntimeError as error:
            raise OSError(f"port {port}: {error}") from None
        self._server.start()

    def stop(self) -> None:
        """Take no more calls, and end those that run."""
        self._server.stop(grace=0).wait()

    def _echo(self, request: StringValue, context: grpc.ServicerContext) -> StringValue:
        metadata = context.invocation_metadata()
        headers = [(str(name), value if isinstance(value, str) else value.hex()) for name, value in metadata]
        said = fields.received(
            port=self.port,
            protocol="GRPC",
            address=address_of(context.peer()),
            headers=headers,
            Method=f"/{SERVICE}/{METHOD}",
        )
        return StringValue(value=fields.as_text([*said, f"Echo={request.value}"]))


def address_of(peer: str) -> str:
    """The address in what grpcio calls a peer: "ipv4:10.244.0.7:41234", "ipv6:%5B::1%5D:41234"."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")


class Caller:
    """Calls `Echo` at `target` ("host:port") over one connection; `timeout` in seconds for each call."""

    def __init__(self, target: str, timeout: float) -> None:
        self._channel = grpc.insecure_channel(target)
        self._call = self._channel.unary_unary(
            f"/{SERVICE}/{METHOD}",
            request_serializer=StringValue.SerializeToString,
            response_deserializer=StringValue.FromString,
        )
        self._timeout = timeout

    def echo(self, message: str, headers: fields.Headers = ()) -> tuple[list[tuple[str, str]], str]:
        """The headers of the answer, and its text. OSError with gRPC's own reason."""
        metadata = tuple((name.lower(), value) for name, value in headers)
        try:
            answer, call = self._call.with_call(
                StringValue(value=message), metadata=metadata, timeout=self._timeout
            )
        except grpc.RpcError as error:
            # What is raised is the call as well, which knows how it ended.
            code = error.code() if isinstance(error, grpc.Call) else None
            details = error.details() if isinstance(error, grpc.Call) else str(error)
            raise OSError(f"gRPC {code.name if code else ''}: {details}") from None
        first = call.initial_metadata() or ()
        return [(str(name), str(value)) for name, value in first], str(answer.value)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
