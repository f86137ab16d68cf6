"""The echo server: HTTP, HTTPS, TCP and gRPC ports in one process, as its flags say.

python3 -m labsupport.shop.echo.server [--port=N ...] [--tls=N ...] [--tcp=N ...] [--server-first=N ...] [--grpc=N ...]
[--crt=FILE] [--key=FILE]

`--tls` and `--server-first` say of a port named by `--port` or `--tcp` how it is served. Each flag may be given several
times. GET, or anything else, on any path answers 200 with what arrived, one `Name=value` in a line.
"""

from __future__ import annotations

import argparse
import signal
import socketserver
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from labsupport.shop.echo.stream import Stream
from labsupport.shop.echo.web import Web, tls_context


def parser() -> argparse.ArgumentParser:
    """The flags, of those of the echo application that this one stands in for."""
    flags = argparse.ArgumentParser(prog="server", allow_abbrev=False)
    for name, what in (
        ("port", "serve HTTP here"),
        ("tls", "this HTTP port speaks TLS"),
        ("tcp", "serve TCP here"),
        ("server-first", "on this TCP port the server speaks first"),
        ("grpc", "serve gRPC here"),
    ):
        flags.add_argument(f"--{name}", type=int, action="append", default=[], metavar="PORT", help=what)
    flags.add_argument(
        "--crt", type=Path, default=Path("/cert.crt"), metavar="FILE", help="certificate (PEM)"
    )
    flags.add_argument("--key", type=Path, default=Path("/cert.key"), metavar="FILE", help="its key (PEM)")
    return flags


def listeners(flags: argparse.Namespace) -> list[socketserver.TCPServer]:
    """A listener for each HTTP and TCP port. OSError when a port cannot be had."""
    context = tls_context(flags.crt, flags.key) if set(flags.port) & set(flags.tls) else None
    return [
        *(Web(port, context if port in flags.tls else None) for port in flags.port),
        *(Stream(port, first=port in flags.server_first) for port in flags.tcp),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status."""
    flags = parser().parse_args(arguments)
    told = threading.Event()

    def stop(signal_number: int, frame: FrameType | None) -> None:
        told.set()

    # Process 1 of a container gets no default action for SIGTERM: without a handler each deletion of a Pod would
    # take its whole grace period of 30 seconds.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running = listeners(flags)
    for server in running:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    calls = []
    if flags.grpc:
        from labsupport.shop.echo.rpc import Rpc  # 20 MB, and only where it is asked for

        calls = [Rpc(port) for port in flags.grpc]
    print(f"serving: HTTP {flags.port}, TCP {flags.tcp}, gRPC {flags.grpc}", flush=True)
    told.wait()
    for server in running:
        server.shutdown()
        server.server_close()
    for call in calls:
        call.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
