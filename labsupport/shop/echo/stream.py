"""The TCP part of the echo server: lines of text and no HTTP, for what a proxy must pass on as bytes."""

from __future__ import annotations

from socketserver import StreamRequestHandler, ThreadingTCPServer

from labsupport.shop.echo import fields

SILENCE = 30.0  # seconds without a line after which a connection ends
LONGEST = 1 << 16  # bytes of a line


class Stream(ThreadingTCPServer):
    """A server on `port` (0: any) that says what it knows of each line it gets, the line itself last (`Echo=`).

    `first`: it greets whoever connects, before it got anything, as mail servers and some data bases do.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, *, first: bool = False) -> None:
        super().__init__(("", port), _Handler)
        self.first = first

    @property
    def server_port(self) -> int:
        """The port it got."""
        return int(self.server_address[1])


class _Handler(StreamRequestHandler):
    """One connection."""

    server: Stream
    timeout = SILENCE
    disable_nagle_algorithm = True  # else every second line waits 40 ms for the peer's acknowledgement

    def handle(self) -> None:
        """Answer each line until the peer has no more, or is silent for long."""
        try:
            if self.server.first:
                self._say("greeting")
            while line := self.rfile.readline(LONGEST):
                self._say(line.decode(errors="replace").rstrip("\r\n"))
        except OSError:
            pass  # gone, or silent

    def _say(self, line: str) -> None:
        said = fields.received(
            port=self.server.server_port,
            protocol="TCP",
            address=str(self.client_address[0]),
            Echo=line,
        )
        self.wfile.write(f"StatusCode=200\n{fields.as_text(said)}\n".encode())
